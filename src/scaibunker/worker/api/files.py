"""Files: straight through to the agent, both ways."""

from aiohttp import web

from scaibunker.worker.api.machines import machine_of
from scaibunker.worker.api.relay import BEGINS_WITHIN_S, raw_query, stream_answer

VERBS = {
    "": ("GET", "PUT", "DELETE"),
    "/stat": ("GET",),
    "/list": ("GET",),
    "/mkdir": ("POST",),
    "/move": ("POST",),
}


def add_routes(router: web.UrlDispatcher) -> None:
    for verb, methods in VERBS.items():
        for method in methods:
            router.add_route(method, "/v1/machines/{machine}/files" + verb, pass_on)


async def pass_on(request: web.Request) -> web.StreamResponse:
    machine = machine_of(request)
    connection = await machine.agent.link.session()
    verb = request.path.partition(f"/v1/machines/{machine.id}/files")[2]
    path = f"/v1/files{verb}{raw_query(request)}"
    # An upload is answered when its body, however long, is on the disk.
    limit = None if request.method == "PUT" else BEGINS_WITHIN_S
    return await stream_answer(request, connection, request.method, path, limit)
