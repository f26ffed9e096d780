"""An answer that is bytes as they come, with back-pressure, let go when the caller is."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import aiohttp
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from scaibunker.controller.relay.frames import StreamBroken
from scaigrid.http.gone import until_gone

log = structlog.get_logger(__name__)


class BrokenBody(Exception):
    """The bytes ended before the announced end: the answer is cut, so that it cannot seem whole."""


class ByteStream(Response):
    """Sends chunks; holds what they come from (`held`) until the end."""

    media_type = "application/octet-stream"

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        held: AsyncExitStack,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        idle_timeout_s: float,
    ) -> None:
        super().__init__(status_code=status, headers=dict(headers or {}))
        if "content-length" not in (headers or {}):
            del self.headers["content-length"]
        self._chunks = chunks
        self._held = held
        self._idle_timeout_s = idle_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the chunks, or stop when the caller goes away."""
        async with self._held:
            pump = asyncio.create_task(self._pump(send))
            gone = asyncio.create_task(until_gone(receive))
            try:
                await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
                if not pump.done():
                    pump.cancel()
                await asyncio.gather(pump, gone, return_exceptions=True)
            if not pump.cancelled() and pump.exception() is not None:
                raise BrokenBody from pump.exception()

    async def _pump(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        async for chunk in self._chunks:
            message = {"type": "http.response.body", "body": bytes(chunk), "more_body": True}
            async with asyncio.timeout(self._idle_timeout_s):
                await send(message)
        await send({"type": "http.response.body", "body": b""})


async def chunks_of(
    response: aiohttp.ClientResponse, idle_timeout_s: float
) -> AsyncIterator[bytes]:
    """A worker's body as it comes. Raises StreamBroken if it breaks or stands still."""
    while True:
        try:
            async with asyncio.timeout(idle_timeout_s):
                chunk = await response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("body from a worker broke", error=repr(error))
            raise StreamBroken("the connection to its worker broke", started=True) from None
        if not chunk:
            return
        yield chunk
