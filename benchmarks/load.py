"""A load generator that costs little: keep-alive connections that send the same bytes again and again.

It understands just enough HTTP to find the end of an answer, so that the server is what is measured.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast

STALL_S = 30
"""A server that does not answer for so long ends the run."""
_LENGTH = b"content-length: "


@dataclass
class Load:
    """What a round has measured. `seconds` are those of single requests."""

    seconds: list[float] = field(default_factory=list)
    failures: int = 0
    duration_s: float = 0.0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.seconds) / self.duration_s

    def percentile(self, part: float) -> float:
        """Milliseconds that `part` of the requests stayed below."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000


def request(path: str, key: str | None = None) -> bytes:
    """A GET as it is sent."""
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if key is not None:
        head += f"Authorization: Bearer {key}\r\n"
    return (head + "\r\n").encode()


async def closed(ports: list[int], content: bytes, *, connections: int, duration_s: float) -> Load:
    """As fast as it goes: every connection sends its next request when it has its answer."""
    load = Load()
    loop = asyncio.get_running_loop()
    made = [await _connect(ports[i % len(ports)], content, load) for i in range(connections)]
    begun = loop.time()
    for connection in made:
        connection.again_until = begun + duration_s
        connection.send()
    async with asyncio.timeout(duration_s + STALL_S):
        await asyncio.gather(*(connection.idle.wait() for connection in made))
    load.duration_s = loop.time() - begun
    for connection in made:
        connection.close()
    return load


async def paced(
    ports: list[int], content: bytes, *, connections: int, duration_s: float, rate: float
) -> Load:
    """So many a second, however late answers are: a request's time counts from when it was due."""
    load = Load()
    loop = asyncio.get_running_loop()
    made = [await _connect(ports[i % len(ports)], content, load) for i in range(connections)]
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for connection in made:
        connection.on_idle = free.put_nowait
        free.put_nowait(connection)
    begun = loop.time()
    async with asyncio.timeout(20 * duration_s + STALL_S):
        for number in range(int(rate * duration_s)):
            due = begun + number / rate
            await asyncio.sleep(due - loop.time())
            (await free.get()).send(due)
        for _ in made:
            await free.get()
    load.duration_s = loop.time() - begun
    for connection in made:
        connection.close()
    return load


async def _connect(port: int, content: bytes, load: Load) -> "_Connection":
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(lambda: _Connection(content, load), "127.0.0.1", port)
    return made


class _Connection(asyncio.Protocol):
    def __init__(self, content: bytes, load: Load) -> None:
        self._content = content
        self._load = load
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None
        self.again_until = 0.0
        self.idle = asyncio.Event()
        self.on_idle = lambda _: self.idle.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, due: float | None = None) -> None:
        assert self._transport is not None
        self._sent_at = time.monotonic() if due is None else due
        self._transport.write(self._content)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.index(_LENGTH) + len(_LENGTH)
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._buffer = b""
        now = time.monotonic()
        self._load.seconds.append(now - self._sent_at)
        if not head.startswith(b"HTTP/1.1 200 "):
            self._load.failures += 1
        if now < self.again_until:
            self.send()
        else:
            self.on_idle(self)
