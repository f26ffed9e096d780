"""The engine and its two units of work: `read` and `write`.

Both are short by rule: nothing that waits for the network or a machine happens inside one. A
`write` is one transaction, committed at its end, rolled back by any exception. A `read` is a
sequence of single statements, each consistent in itself; one that needs a consistent view over
several statements uses `write`.

SQLite: write-ahead log, so that readers never wait. A writing transaction begins IMMEDIATE,
because one that starts as a reader cannot be upgraded once another has committed; within the
process writers stand in line for a lock of ours, since SQLite itself only polls.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, NewType

from sqlalchemy import event, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection

from scaigrid.settings.database import DatabaseSettings

Reader = NewType("Reader", AsyncConnection)
"""A connection for single statements that change nothing."""
Writer = NewType("Writer", AsyncConnection)
"""A connection inside a transaction."""


class Database:
    """Owns the connections. Connects at the first use, not when it is made."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._writers = asyncio.Lock()
        self._reading = self._engine(
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            pool_size=settings.pool_size,
            max_overflow=settings.pool_size,
        )
        self._writing = self._engine(pool_size=1, max_overflow=0)
        event.listen(self._writing.sync_engine, "begin", _begin_immediate)

    def _engine(self, **options: Any) -> AsyncEngine:
        engine = create_async_engine(self._settings.url, **options)
        pragmas = (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=NORMAL",
            "PRAGMA foreign_keys=ON",
            f"PRAGMA busy_timeout={int(self._settings.busy_timeout_s * 1000)}",
        )

        def prepare(connection: PoolProxiedConnection, _record: object) -> None:
            connection.isolation_level = None  # type: ignore[attr-defined] # the driver begins nothing by itself
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(pragma)
            cursor.close()

        event.listen(engine.sync_engine, "connect", prepare)
        return engine

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """A connection for single statements."""
        async with self._reading.connect() as connection:
            yield Reader(connection)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """A transaction: committed at the end of the block, rolled back if it raises."""
        async with self._writers, self._writing.begin() as connection:
            yield Writer(connection)

    async def ping(self) -> None:
        """Raise if the database does not answer."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self._reading.dispose()
        await self._writing.dispose()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
