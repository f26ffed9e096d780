"""Ordering snapshots of machines, and looking how far they are."""

from aiohttp import web

from scaibunker.wire.worker.snapshots import SnapshotRequest
from scaibunker.worker.api.machines import machine_of, parse, respond
from scaibunker.worker.snapshots.jobs import Snapshots

SNAPSHOTS: web.AppKey[Snapshots] = web.AppKey("snapshots", Snapshots)


def add_routes(router: web.UrlDispatcher) -> None:
    router.add_post("/v1/machines/{machine}/snapshot", order)
    router.add_get("/v1/snapshots/{snapshot}", show)
    router.add_delete("/v1/snapshots/{snapshot}", forget)


async def order(request: web.Request) -> web.Response:
    machine = machine_of(request)
    wanted = parse(SnapshotRequest, await request.read())
    return respond(request.app[SNAPSHOTS].order(machine, wanted), 202)


async def show(request: web.Request) -> web.Response:
    return respond(request.app[SNAPSHOTS].get(request.match_info["snapshot"]))


async def forget(request: web.Request) -> web.Response:
    await request.app[SNAPSHOTS].forget(request.match_info["snapshot"])
    return web.Response(status=204)
