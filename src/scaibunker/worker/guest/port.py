"""What the rest of the worker asks of the way to a guest, whatever carries it.

`link` answers it for a real machine, over the channel's socket; a simulated machine answers it
without one.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from scaibunker.worker.guest.stream import GuestStream, Headers

Body = bytes | AsyncIterator[bytes] | None


class Session(Protocol):
    """An open session with a guest agent."""

    async def request(
        self, method: str, path: str, headers: Headers | None = None, body: Body = None
    ) -> GuestStream:
        """Send a request; the stream's `response` waits for the answer. Raises GuestUnreachable."""
        ...

    def close(self) -> None:
        """End it; the agent's commands live on."""
        ...


class Link(Protocol):
    """The way to one guest for as long as its machine lives."""

    async def connect(self, timeout_s: float) -> Session:
        """An open session, made now if there is none. Raises GuestUnreachable."""
        ...

    async def session(self) -> Session:
        """An open session for a request. Raises GuestUnreachable."""
        ...

    def replace_token(self, token: bytes) -> None:
        """Open the next session with another token; the one that is open goes on."""
        ...

    async def broken(self) -> None:
        """Wait until the session that is open now has ended."""
        ...

    def close(self) -> None:
        """End the session and refuse new ones."""
        ...


OpenLink = Callable[[Path, bytes], Link]
"""Of the channel's path and the token that opens it."""
