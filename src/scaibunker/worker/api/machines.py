"""Ordering machines, looking at them, freezing them and taking them down."""

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from scaibunker.wire.codes import Code
from scaibunker.wire.worker.machines import MachineSpec, PowerRequest
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.machines.machine import Machine

FLEET: web.AppKey[Fleet] = web.AppKey("fleet", Fleet)
ModelT = TypeVar("ModelT", bound=BaseModel)


def add_routes(router: web.UrlDispatcher) -> None:
    router.add_get("/v1/machines", list_machines)
    router.add_put("/v1/machines/{machine}", order)
    router.add_get("/v1/machines/{machine}", show)
    router.add_delete("/v1/machines/{machine}", destroy)
    router.add_put("/v1/machines/{machine}/power", power)


def machine_of(request: web.Request) -> Machine:
    """The machine that the path names. Raises MachineNotFound."""
    return request.app[FLEET].get(request.match_info["machine"])


def parse(model: type[ModelT], body: bytes) -> ModelT:
    """Raises WorkerFault that names the first field that is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise WorkerFault(f"{where}: {first['msg']}", Code.VALIDATION_ERROR) from None


def respond(model: BaseModel, status: int = 200) -> web.Response:
    return web.Response(
        status=status, text=model.model_dump_json(), content_type="application/json"
    )


async def list_machines(request: web.Request) -> web.Response:
    machines = [m.status().model_dump(mode="json") for m in request.app[FLEET]]
    return web.json_response({"machines": machines})


async def order(request: web.Request) -> web.Response:
    spec = parse(MachineSpec, await request.read())
    if spec.bunker_id != request.match_info["machine"]:
        raise WorkerFault("bunker_id: is not the id in the path", Code.VALIDATION_ERROR)
    return respond(request.app[FLEET].order(spec).status(), 202)


async def show(request: web.Request) -> web.Response:
    return respond(machine_of(request).status())


async def destroy(request: web.Request) -> web.Response:
    await request.app[FLEET].destroy(request.match_info["machine"])
    return web.Response(status=204)


async def power(request: web.Request) -> web.Response:
    machine = machine_of(request)
    wanted = parse(PowerRequest, await request.read())
    if wanted.state == "paused":
        await machine.pause()
    else:
        await machine.resume()
    return respond(machine.status())
