"""Ordering bridges, looking at them, and taking them down."""

from aiohttp import web

from scaibunker.wire.codes import Code
from scaibunker.wire.worker.bridges import BridgeSpec
from scaibunker.worker.api.machines import parse, respond
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.bridges.port import Bridges

BRIDGES: web.AppKey[Bridges] = web.AppKey("bridges")


def add_routes(router: web.UrlDispatcher) -> None:
    router.add_get("/v1/bridges", list_bridges)
    router.add_put("/v1/bridges/{bridge}", make)
    router.add_get("/v1/bridges/{bridge}", show)
    router.add_delete("/v1/bridges/{bridge}", remove)


async def list_bridges(request: web.Request) -> web.Response:
    bridges = [bridge.model_dump(mode="json") for bridge in request.app[BRIDGES].all()]
    return web.json_response({"bridges": bridges})


async def make(request: web.Request) -> web.Response:
    spec = parse(BridgeSpec, await request.read())
    if spec.bridge_id != request.match_info["bridge"]:
        raise WorkerFault("bridge_id: is not the id in the path", Code.VALIDATION_ERROR)
    return respond(await request.app[BRIDGES].make(spec))


async def show(request: web.Request) -> web.Response:
    return respond(request.app[BRIDGES].get(request.match_info["bridge"]))


async def remove(request: web.Request) -> web.Response:
    await request.app[BRIDGES].remove(request.match_info["bridge"])
    return web.Response(status=204)
