"""A load balancer as small as can be: each connection goes to the next backend that accepts it."""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Iterator, Sequence

from tests.ports import free_port

CHUNK = 64 * 1024


class Balancer:
    """Forwards TCP connections to ports of this machine, in turn; one that refuses is skipped."""

    def __init__(self, backends: Sequence[int], address: str = "127.0.0.1") -> None:
        self.port = free_port()
        self.url = f"http://{address}:{self.port}"
        self._address = address
        self._backends = tuple(backends)
        self._turns = itertools.count()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Listen, from a thread of its own, while inside."""
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(
            asyncio.start_server(self._forward, self._address, self.port)
        )
        thread = threading.Thread(target=loop.run_forever, name="balancer")
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.run_until_complete(_end(server))
            loop.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            backend = await self._connect()
            if backend is not None:
                theirs, ours = backend
                try:
                    # Whichever side ends first ends both: a backend that dies is seen at once.
                    ways = [
                        asyncio.create_task(_pump(reader, ours)),
                        asyncio.create_task(_pump(theirs, writer)),
                    ]
                    try:
                        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for way in ways:
                            way.cancel()
                        await asyncio.gather(*ways, return_exceptions=True)
                finally:
                    ours.close()
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        first = next(self._turns)
        for offset in range(len(self._backends)):
            port = self._backends[(first + offset) % len(self._backends)]
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        return None


async def _end(server: asyncio.Server) -> None:
    server.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
