"""A request's body on its way to a worker: as it comes, with both ends watched."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.requests import ClientDisconnect, Request

from scaibunker.controller.relay.file_log import FileOperation
from scaigrid.errors import GridError, ValidationFailed
from scaigrid.http.body import BodyAborted


class Upload:
    """Bytes from a caller to a worker. `fault` is what broke them off on the caller's side."""

    def __init__(self, request: Request, operation: FileOperation, idle_timeout_s: float) -> None:
        self.fault: GridError | None = None
        self._request = request
        self._operation = operation
        self._idle_timeout_s = idle_timeout_s
        self._limit = asyncio.timeout(None)

    @contextlib.asynccontextmanager
    async def moving(self) -> AsyncIterator[None]:
        """Raise TimeoutError if the worker takes nothing, or does not answer, for too long."""
        async with self._limit:
            self._moved()
            yield

    def _moved(self) -> None:
        """Start counting anew: longer than the caller may be silent, so that its fault is its own."""
        loop = asyncio.get_running_loop()
        self._limit.reschedule(loop.time() + 2 * self._idle_timeout_s)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body. Raises in the middle if it ends early, so that the worker sees it is cut."""
        self._operation.bytes = 0
        stream = self._request.stream()
        while True:
            try:
                async with asyncio.timeout(self._idle_timeout_s):
                    chunk = await anext(stream, None)
            except ClientDisconnect:
                self.fault = BodyAborted()
                raise
            except TimeoutError:
                self.fault = ValidationFailed.of("body", "did not arrive in time")
                raise
            self._moved()
            if chunk is None:
                return
            self._operation.bytes += len(chunk)
            if chunk:
                yield chunk
