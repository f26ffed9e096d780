"""The HTTP server process: uvicorn, with a bounded stop."""

import functools
import signal
import socket
from types import FrameType
from typing import Protocol

import uvicorn
from fastapi import FastAPI

from scaigrid import tls
from scaigrid.http.protocol import BoundedProtocol, Bounds
from scaigrid.http.sse import Stopping
from scaigrid.settings import HttpSettings


class Served(Protocol):
    """What is served: an application, and what ends its streams."""

    app: FastAPI
    stopping: Stopping


class Server(uvicorn.Server):
    """Ends event streams as soon as it is asked to stop; they would hold it up otherwise."""

    def __init__(self, config: uvicorn.Config, grid: Served) -> None:
        super().__init__(config)
        self._grid = grid

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Note that a stop is asked for, and no more: the signal is not to be raised again after
        it, so that a stop in good order is told from a kill by its exit status, 0."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop within the configured time."""
        self._grid.stopping.set()
        await super().shutdown(sockets)


def make_server(grid: Served, settings: HttpSettings) -> Server:
    """A server for the application, not yet started."""
    bounds = Bounds(settings.head_timeout_s, settings.max_connections)
    config = uvicorn.Config(
        grid.app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=functools.partial(BoundedProtocol, bounds),  # type: ignore[arg-type]
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
    if settings.tls_certificate is not None and settings.tls_key is not None:
        config.load()
        config.ssl = tls.serving(
            settings.tls_certificate, settings.tls_key, setting="SCAIGRID_HTTP_TLS_CERTIFICATE"
        )
    return Server(config, grid)
