"""Server-sent events: JSON data, a comment every 15 s, errors as an event, `[DONE]` at the end."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from scaigrid.errors import GridError, InternalError, ServerStopping
from scaigrid.http.errors import body_of
from scaigrid.http.gone import until_gone

log = structlog.get_logger(__name__)

KEEPALIVE_S = 15.0
STALL_S = 300.0
"""A caller that takes nothing for so long counts as gone."""
_COMMENT = b": keep-alive\n\n"
_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `data` is sent as JSON; `id` lets a client go on from here."""

    name: str
    data: BaseModel | dict[str, Any]
    id: str | None = None

    def encode(self) -> bytes:
        """As bytes on the wire. JSON has no bare line breaks, so one data line is enough."""
        if isinstance(self.data, BaseModel):
            data = self.data.model_dump_json()
        else:
            data = json.dumps(self.data, separators=(",", ":"), ensure_ascii=False)
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.name}\ndata: {data}\n\n".encode()


class Stopping:
    """Set once, when the server is asked to stop: streams end then, instead of holding it up."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """End all streams."""
        self._event.set()

    async def wait(self) -> None:
        """Until the server is asked to stop."""
        await self._event.wait()


class EventStream(Response):
    """An answer that is a stream of events.

    The source is closed as soon as the caller goes away, however silent the stream is, and with it
    what is `held` for it: a command, say.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        source: AsyncGenerator[Event, None],
        stopping: Stopping,
        held: AsyncExitStack | None = None,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._source = source
        self._stopping = stopping
        self._held = held or AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the stream to its end, or until the caller goes away."""
        async with self._held:
            await self._stream(_Writer(send), receive, send)

    async def _stream(self, writer: "_Writer", receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        pump = asyncio.create_task(self._pump(writer))
        gone = asyncio.create_task(until_gone(receive))
        stop = asyncio.create_task(self._stopping.wait())
        ticks = asyncio.create_task(writer.keep_alive())
        tasks = (pump, gone, stop, ticks)
        try:
            await asyncio.wait((pump, gone, stop), return_when=asyncio.FIRST_COMPLETED)
            is_gone, is_cut = gone.done(), not pump.done()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._source.aclose()
        if is_gone:
            return
        if is_cut:
            await writer.write(_error(ServerStopping()).encode())
            await writer.write(_DONE)
        await send({"type": "http.response.body", "body": b""})

    async def _pump(self, writer: "_Writer") -> None:
        try:
            async for event in self._source:
                await writer.write(event.encode())
        except GridError as error:
            await writer.write(_error(error).encode())
        except TimeoutError:
            log.info("the caller of a stream takes nothing")
            return
        except Exception:
            log.exception("stream failed")
            await writer.write(_error(InternalError()).encode())
        await writer.write(_DONE)


class _Writer:
    """Sends chunks one at a time and knows when the last one went out."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = asyncio.Lock()
        self._last = asyncio.get_running_loop().time()

    async def write(self, chunk: bytes) -> None:
        async with self._lock, asyncio.timeout(STALL_S):
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            self._last = asyncio.get_running_loop().time()

    async def keep_alive(self) -> None:
        """A comment whenever nothing was sent for a while."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.0, self._last + KEEPALIVE_S - loop.time()))
            if loop.time() - self._last >= KEEPALIVE_S:
                await self.write(_COMMENT)


def _error(error: GridError) -> Event:
    return Event("error", body_of(error))
