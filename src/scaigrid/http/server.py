"""The HTTP server process: uvicorn, with a bounded stop."""

import socket

import uvicorn

from scaigrid.app import Grid
from scaigrid.settings import HttpSettings


class Server(uvicorn.Server):
    """Ends event streams as soon as it is asked to stop; they would hold it up otherwise."""

    def __init__(self, config: uvicorn.Config, grid: Grid) -> None:
        super().__init__(config)
        self._grid = grid

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop within the configured time."""
        self._grid.stopping.set()
        await super().shutdown(sockets)


def make_server(grid: Grid, settings: HttpSettings) -> Server:
    """A server for the application, not yet started."""
    config = uvicorn.Config(
        grid.app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=settings.stop_timeout_s,
        timeout_keep_alive=75,
    )
    return Server(config, grid)
