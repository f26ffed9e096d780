"""MariaDB: the database of production, shared by all replicas.

Reads run on connections in autocommit mode, one round trip each. Writing transactions are READ
COMMITTED: a statement sees what others have committed and locks the rows that it changes and no
gaps between them, so that two inserts never deadlock. What must not change between reading and
writing is read `FOR UPDATE` (`with_for_update()`, which SQLite, with its one writer, leaves out).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection, QueuePool
from sqlalchemy.util import greenlet_spawn

from scaigrid.db import guard
from scaigrid.db.backend import Run, Work
from scaigrid.db.errors import lost_commit
from scaigrid.db.faults import translate
from scaigrid.db.turns import Turns
from scaigrid.settings.database import DatabaseSettings

T = TypeVar("T")

HUNG_AFTER_S = 5
"""How much longer than it may take for the server to end a statement its answer is waited for."""


class MariaDbBackend:
    """A pool for reading and one for writing."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._answer_within_s = _answer_within_s(settings)
        self._reading = self._engine(
            settings.pool_size,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            skip_autocommit_rollback=True,  # it would be a second round trip for every read
        )
        self._writing = self._engine(settings.write_pool_size, isolation_level="READ COMMITTED")
        self._readers = Turns(settings.pool_size, settings.busy_timeout_s)
        self._writers = Turns(settings.write_pool_size, settings.busy_timeout_s)

    def _engine(self, pool_size: int, **options: Any) -> AsyncEngine:
        settings = self._settings
        engine = create_async_engine(
            make_url(settings.url).set(drivername="mariadb+asyncmy"),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=settings.busy_timeout_s,
            pool_recycle=settings.pool_recycle_s,
            hide_parameters=True,  # an error's text is logged
            connect_args={"connect_timeout": settings.connect_timeout_s, "charset": "utf8mb4"},
            **options,
        )
        session = (
            "SET SESSION time_zone='+00:00', "
            "sql_mode='STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
            f"innodb_lock_wait_timeout={max(1, round(settings.busy_timeout_s))}, "
            f"max_statement_time={settings.statement_timeout_s:g}, "
            "idle_transaction_timeout=60"
        )

        def prepare(connection: PoolProxiedConnection, _record: object) -> None:
            cursor = connection.cursor()
            cursor.execute(session)
            cursor.close()

        event.listen(engine.sync_engine, "connect", prepare)
        guard.install(engine.sync_engine)
        return engine

    async def read(self, work: Work[T]) -> T:
        """Run work on a connection in autocommit mode."""
        async with self._readers, self._limited():
            return await greenlet_spawn(self._read, work)

    def _limited(self) -> asyncio.Timeout:
        """Gives a server up that hangs: a statement that is broken off loses its connection.

        The driver has a time-out of its own, in which a cancellation can be lost (`wait_for` of
        Python 3.11).
        """
        return asyncio.timeout(self._answer_within_s)

    def _read(self, work: Work[T]) -> T:
        # All in one greenlet: `AsyncConnection` takes three of them and a task for the same.
        with self._reading.sync_engine.connect() as connection:
            return work(connection)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Run]:
        """A transaction: committed at the end of the block, rolled back if it raises."""
        async with self._writers:
            connection = self._writing.connect()
            async with self._limited():
                await connection.start()

            async def run(work: Work[T]) -> T:
                async with self._limited():
                    return await connection.run_sync(work)

            try:
                await connection.begin()
                yield run
                await self._commit(connection)
            finally:
                # Rolls back what is open; a server that hangs in that loses the connection.
                with contextlib.suppress(TimeoutError):
                    async with self._limited():
                        await connection.close()

    async def _commit(self, connection: AsyncConnection) -> None:
        """Commit; a connection that is lost in the middle leaves the outcome open."""
        try:
            async with self._limited():
                await connection.commit()
        except Exception as error:
            if translate(error) is not None:
                raise lost_commit() from error
            raise

    async def apply(self, work: Work[T]) -> T:
        """A whole transaction."""
        async with self.transaction() as run:
            return await run(work)

    def pools(self) -> Mapping[str, QueuePool]:
        """Both pools as they are now."""
        engines = {"reading": self._reading, "writing": self._writing}
        pools = {name: engine.sync_engine.pool for name, engine in engines.items()}
        return {name: pool for name, pool in pools.items() if isinstance(pool, QueuePool)}

    async def close(self) -> None:
        """Close every connection."""
        await self._reading.dispose()
        await self._writing.dispose()


def _answer_within_s(settings: DatabaseSettings) -> float | None:
    """When a server counts as hung; None for a statement without a limit."""
    if not settings.statement_timeout_s:
        return None
    return max(settings.statement_timeout_s, settings.busy_timeout_s) + HUNG_AFTER_S
