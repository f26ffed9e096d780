"""Commands: relayed to a caller that waits, or spooled for callers that come later."""

from aiohttp import web

from scaibunker.wire.codes import Code
from scaibunker.wire.guest.execs import EXEC_ID, MAX_START_LINE, ExecStart
from scaibunker.wire.guest.frames import CONTENT_TYPE
from scaibunker.worker.api.machines import machine_of, parse, respond
from scaibunker.worker.api.relay import BEGINS_WITHIN_S, raw_query, stream_answer
from scaibunker.worker.errors import WorkerFault


def add_routes(router: web.UrlDispatcher) -> None:
    base = "/v1/machines/{machine}/execs/{exec}"
    router.add_post(base, start)
    router.add_get(base, show)
    router.add_get(base + "/frames", follow)
    router.add_post(base + "/signal", pass_on)
    router.add_post(base + "/stdin", pass_on)


def _exec_id(request: web.Request) -> str:
    exec_id = request.match_info["exec"]
    if not EXEC_ID.match(exec_id):
        raise WorkerFault("exec_id is not an id", Code.VALIDATION_ERROR)
    return exec_id


async def start(request: web.Request) -> web.StreamResponse:
    if request.query.get("mode") == "spool":
        return await _start_spooled(request)
    connection = await machine_of(request).agent.link.session()
    path = f"/v1/execs/{_exec_id(request)}"
    return await stream_answer(request, connection, "POST", path)


async def _start_spooled(request: web.Request) -> web.StreamResponse:
    machine = machine_of(request)
    agent = machine.agent
    line, _, stdin = (await request.read()).partition(b"\n")
    if len(line) > MAX_START_LINE:
        raise WorkerFault("the start line is too long", Code.PAYLOAD_TOO_LARGE)
    spool = await machine.spools.start(agent, _exec_id(request), parse(ExecStart, line), stdin)
    return respond(spool.status(), 202)


async def show(request: web.Request) -> web.Response:
    return respond(machine_of(request).spools.get(_exec_id(request)).status())


async def follow(request: web.Request) -> web.StreamResponse:
    spool = machine_of(request).spools.get(_exec_id(request))
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
    await response.prepare(request)
    async for data in spool.follow():
        await response.write(data)
    await response.write_eof()
    return response


async def pass_on(request: web.Request) -> web.StreamResponse:
    """Signals and standard input, as they are, to the agent."""
    connection = await machine_of(request).agent.link.session()
    verb = request.path.rsplit("/", 1)[1]
    path = f"/v1/execs/{_exec_id(request)}/{verb}{raw_query(request)}"
    # Input is taken when the command reads it, which may be late; a caller that leaves ends the wait.
    limit = None if verb == "stdin" else BEGINS_WITHIN_S
    return await stream_answer(request, connection, "POST", path, limit)
