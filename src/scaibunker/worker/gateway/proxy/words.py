"""What the readers of protocols have in common."""

from typing import Protocol

UNREAD = 1 << 62
"""As many bytes as no connection ever carries: nothing is read any more."""


def canonical(name: str) -> str:
    """As names are compared and resolved: lower case, without a final dot."""
    return name.lower().removesuffix(".")


HEAD_WORK, LINE_WORK = 64, 6
"""Microseconds, about, that it takes to judge a head (of a request, a hello), and a line of a chunked body."""


class Reader(Protocol):
    """Reads what a guest sends in one protocol; does no I/O.

    `name`: the server it asks for, once that is known and permitted. `free`: how many of the bytes that come next may
    pass unread; whoever passes them on takes them off. `waiting`: nothing more may pass until the server has
    answered. `incomplete`: the guest is in the middle of something that is judged as a whole. `work`: microseconds, about,
    that judging has taken in all.
    """

    name: str | None
    free: int
    waiting: bool
    work: int

    @property
    def incomplete(self) -> bool: ...

    def client(self, data: bytes) -> bytes:
        """What of it, and of what was held, may go to the server now. Raises Refused."""
        ...

    def client_end(self) -> None:
        """The guest sends no more. Raises Refused."""
        ...

    def server(self, data: bytes) -> None:
        """What the server sends, while it is waited for."""
        ...
