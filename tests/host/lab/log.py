"""What the lab's services were asked, and by whom."""

import threading
from dataclasses import dataclass
from typing import Any

from tests.waiting import until, wait_until


@dataclass(frozen=True)
class Hit:
    """One connection, request or datagram. `service`: dns, http, https, tls, dot, doh, echo, greeting, datagram, each
    over the `transport` tcp or udp. `name`: Host, or the name asked for; `text`: request line, or type asked for."""

    where: str
    service: str
    transport: str
    local: str
    port: int
    peer: str
    peer_port: int
    name: str = ""
    sni: str = ""
    text: str = ""
    size: int = 0


class Log:
    """Grows; safe to read from any thread."""

    def __init__(self) -> None:
        self._hits: list[Hit] = []
        self._lock = threading.Lock()

    def add(self, hit: Hit) -> None:
        with self._lock:
            self._hits.append(hit)

    def hits(self, **fields: Any) -> list[Hit]:
        """Those that have all these values."""
        with self._lock:
            hits = list(self._hits)
        return [h for h in hits if all(getattr(h, k) == v for k, v in fields.items())]

    def clear(self) -> None:
        with self._lock:
            self._hits.clear()

    async def until(self, timeout_s: float = 20, **fields: Any) -> Hit:
        """The first such hit, when there is one."""
        await until(lambda: bool(self.hits(**fields)), timeout_s, lambda: (fields, self.hits()))
        return self.hits(**fields)[0]

    def wait(self, timeout_s: float = 20, **fields: Any) -> Hit:
        """The same without an event loop."""
        wait_until(
            lambda: bool(self.hits(**fields)),
            timeout_s,
            lambda: (fields, self.hits()),
            every_s=0.01,
        )
        return self.hits(**fields)[0]
