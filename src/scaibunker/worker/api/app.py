"""The worker's HTTP API, put together. Routes are described in `docs/reference/worker-protocol.md`."""

from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware

from scaibunker import __version__
from scaibunker.wire.worker.protocol import SPOKEN, Versions
from scaibunker.worker.api import auth, errors, execs, files, machines, protocol
from scaibunker.worker.api import bridges as bridge_routes
from scaibunker.worker.api import snapshots as snapshot_routes
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.network.bridges.port import Bridges
from scaibunker.worker.snapshots.jobs import Snapshots

BODY_LIMIT = 32 * 1024 * 1024
"""Bytes of a body that is read whole; streamed bodies have no limit here."""


def build(
    fleet: Fleet,
    snapshots: Snapshots,
    bridges: Bridges,
    worker_id: str,
    tokens: tuple[str, ...],
    inner: Sequence[Middleware] = (),
    spoken: Versions = SPOKEN,
    outer: Sequence[Middleware] = (),
) -> web.Application:
    """The application; serve it with `handler_cancellation`, so that a caller that goes away ends
    what it asked for. `outer` middlewares see every request, `inner` ones those alone that
    have a token."""
    app = web.Application(
        middlewares=[
            *outer,
            auth.middleware(tokens),
            protocol.middleware(spoken),
            *inner,
            errors.middleware,
        ],
        client_max_size=BODY_LIMIT,
    )
    app[machines.FLEET] = fleet
    app[snapshot_routes.SNAPSHOTS] = snapshots
    app[bridge_routes.BRIDGES] = bridges

    async def health(_: web.Request) -> web.Response:
        return web.json_response(
            {"worker_id": worker_id, "version": __version__, "protocol": spoken.newest}
        )

    app.router.add_get("/v1/health", health)
    machines.add_routes(app.router)
    execs.add_routes(app.router)
    files.add_routes(app.router)
    snapshot_routes.add_routes(app.router)
    bridge_routes.add_routes(app.router)
    return app
