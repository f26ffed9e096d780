"""SQLite: for `scaibunker dev`, and wherever one process on one machine is enough.

Its driver is synchronous, so statements run in threads of ours, each whole (prepared, executed,
fetched) in one hop: an asynchronous wrapper around the driver takes five hops for the same, and
this is on the path of every command. Write-ahead log, so that readers never wait. A writing
transaction begins IMMEDIATE, because one that starts as a reader cannot be upgraded once another
has committed; within the process writers stand in line for a lock of ours, since SQLite itself
only polls.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import Connection
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from scaigrid.db import guard
from scaigrid.db.backend import Run, Work
from scaigrid.settings.database import DatabaseSettings

T = TypeVar("T")


class SqliteBackend:
    """A pool of readers, one writer, and their threads."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._turn = asyncio.Lock()
        readers = settings.pool_size
        self._reading = self._engine(
            pool_size=readers,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            skip_autocommit_rollback=True,
        )
        self._writing = self._engine(pool_size=1)
        event.listen(self._writing, "begin", _begin_immediate)
        self._read_threads = ThreadPoolExecutor(readers, "db-read")
        self._write_thread = ThreadPoolExecutor(1, "db-write")

    def _engine(self, *, pool_size: int, **options: Any) -> Engine:
        engine = create_engine(
            make_url(self._settings.url).set(drivername="sqlite+pysqlite"),
            pool_size=pool_size,
            max_overflow=0,
            hide_parameters=True,  # an error's text is logged
            connect_args={"check_same_thread": False},
            **options,
        )
        pragmas = (
            f"PRAGMA busy_timeout={int(self._settings.busy_timeout_s * 1000)}",
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=NORMAL",
            "PRAGMA foreign_keys=ON",
        )

        def prepare(connection: PoolProxiedConnection, _record: object) -> None:
            connection.isolation_level = None  # type: ignore[attr-defined] # the driver begins nothing by itself
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(pragma)
            cursor.close()

        event.listen(engine, "connect", prepare)
        guard.install(engine)
        return engine

    async def read(self, work: Work[T]) -> T:
        """Run work on a connection without a transaction."""
        return await _in_thread(self._read_threads, self._read, work)

    def _read(self, work: Work[T]) -> T:
        with self._reading.connect() as connection:
            return work(connection)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Run]:
        """A transaction: committed at the end of the block, rolled back if it raises."""
        held = contextlib.ExitStack()  # entered and left in the writers' thread
        async with self._turn:
            try:
                connection = await _in_thread(self._write_thread, _begin, held, self._writing)

                async def run(work: Work[T]) -> T:
                    return await _in_thread(self._write_thread, work, connection)

                yield run
            except BaseException as error:
                await _in_thread(self._write_thread, held.__exit__, type(error), error, None)
                raise
            await _in_thread(self._write_thread, held.close)

    async def apply(self, work: Work[T]) -> T:
        """A whole transaction in one hop."""

        def transaction() -> T:
            with self._writing.begin() as connection:
                return work(connection)

        async with self._turn:
            return await _in_thread(self._write_thread, transaction)

    def pools(self) -> Mapping[str, QueuePool]:
        """Both pools as they are now."""
        pools = {"reading": self._reading.pool, "writing": self._writing.pool}
        return {name: pool for name, pool in pools.items() if isinstance(pool, QueuePool)}

    async def close(self) -> None:
        """Close every connection."""
        self._reading.dispose()
        self._writing.dispose()
        self._read_threads.shutdown(wait=False)
        self._write_thread.shutdown(wait=False)


def _begin(held: contextlib.ExitStack, engine: Engine) -> Connection:
    return held.enter_context(engine.begin())


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


async def _in_thread(threads: ThreadPoolExecutor, work: Callable[..., T], *args: Any) -> T:
    """Run `work` in a thread to its end; a cancellation is heeded after that: a connection must
    not go back to the pool while a thread is still using it."""
    running = asyncio.get_running_loop().run_in_executor(threads, work, *args)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((running,))
        if not running.cancelled():
            running.exception()  # nobody is left to be told
        raise
