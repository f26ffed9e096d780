"""What the two kinds of database have in common."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.pool import QueuePool

T = TypeVar("T")
Work = Callable[[Connection], T]
"""Synchronous work on a connection: SQL, and nothing else that waits."""


class Run(Protocol):
    """Runs work on the connection of a transaction; one piece of work at a time."""

    async def __call__(self, work: Work[T]) -> T: ...


class Backend(Protocol):
    """One kind of database, by the operations that are different from kind to kind."""

    async def read(self, work: Work[T]) -> T:
        """Run work that changes nothing, without a transaction."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Run]:
        """A transaction: committed at the end of the block, rolled back if it raises."""
        ...

    async def apply(self, work: Work[T]) -> T:
        """Work as a whole transaction."""
        ...

    def pools(self) -> Mapping[str, QueuePool]:
        """Its pools of connections as they are now, by name."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
