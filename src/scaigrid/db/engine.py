"""The database and its two units of work: `read` and `write`.

Both are short by rule: nothing that waits for the network or a machine happens inside one. A
`write` is one transaction, committed at its end, rolled back by any exception. What a `read`
executes are single statements, each consistent in itself; work that needs a consistent view over
several statements uses `write`.

SQLite: its driver is synchronous, so statements run in threads of ours, each whole (prepared,
executed, fetched) in one hop: an asynchronous wrapper around the driver takes five hops for the
same, and this is on the path of every command. Write-ahead log, so that readers never wait. A
writing transaction begins IMMEDIATE, because one that starts as a reader cannot be upgraded once
another has committed; within the process writers stand in line for a lock of ours, since SQLite
itself only polls.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Engine, Executable, RowMapping, create_engine, event, make_url, text
from sqlalchemy.engine import Connection
from sqlalchemy.pool import PoolProxiedConnection

from scaigrid.settings.database import DatabaseSettings

T = TypeVar("T")
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


class Reader:
    """Executes statements that return rows."""

    def __init__(self, run: "Runner") -> None:
        self._run = run

    async def rows(self, query: Executable) -> Sequence[RowMapping]:
        """All rows."""
        return await self._run(lambda c: c.execute(query).mappings().all())

    async def row(self, query: Executable) -> RowMapping | None:
        """The one row, or None. Raises MultipleResultsFound."""
        return await self._run(lambda c: c.execute(query).mappings().one_or_none())

    async def values(self, query: Executable) -> Sequence[Any]:
        """The first column of all rows."""
        return await self._run(lambda c: c.execute(query).scalars().all())

    async def value(self, query: Executable) -> Any:
        """The first column of the one row, or None. Raises MultipleResultsFound."""
        return await self._run(lambda c: c.execute(query).scalar_one_or_none())


class Writer(Reader):
    """Executes statements of all kinds, inside one transaction."""

    async def execute(self, statement: Executable, values: Values = None) -> int:
        """Change rows; returns how many. A sequence of values repeats the statement for each."""
        return await self._run(lambda c: c.execute(statement, values).rowcount)


class Runner:
    """Runs work on a connection in a thread; one piece of work at a time.

    Work that has begun is waited for even when whoever wants it is cancelled: a connection must
    not go back to the pool while a thread is still using it.
    """

    def __init__(
        self,
        threads: ThreadPoolExecutor,
        open_: Callable[[], contextlib.AbstractContextManager[Connection]],
    ) -> None:
        self._threads = threads
        self._open = open_

    async def __call__(self, work: Callable[[Connection], T]) -> T:
        """The result of `work`."""
        return await in_thread(self._threads, self._with_connection, work)

    def _with_connection(self, work: Callable[[Connection], T]) -> T:
        with self._open() as connection:
            return work(connection)


class Database:
    """Owns the connections. Connects at the first use, not when it is made."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._turn = asyncio.Lock()
        readers = settings.pool_size
        self._reading = self._engine(
            pool_size=readers, isolation_level="AUTOCOMMIT", pool_reset_on_return=None
        )
        self._writing = self._engine(pool_size=1)
        event.listen(self._writing, "begin", _begin_immediate)
        self._read_threads = ThreadPoolExecutor(readers, "db-read")
        self._write_thread = ThreadPoolExecutor(1, "db-write")

    def _engine(self, *, pool_size: int, **options: Any) -> Engine:
        url = make_url(self._settings.url).set(drivername="sqlite+pysqlite")
        engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
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
        return engine

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Single statements that change nothing."""
        yield Reader(Runner(self._read_threads, self._reading.connect))

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """A transaction: committed at the end of the block, rolled back if it raises."""
        held = contextlib.ExitStack()  # entered and left in the writers' thread
        async with self._turn:
            try:
                connection = await in_thread(self._write_thread, _begin, held, self._writing)
                yield Writer(Runner(self._write_thread, lambda: contextlib.nullcontext(connection)))
            except BaseException as error:
                await in_thread(self._write_thread, held.__exit__, type(error), error, None)
                raise
            await in_thread(self._write_thread, held.close)

    async def apply(self, work: Callable[[Connection], T]) -> T:
        """A whole transaction as one piece of synchronous work: one hop, for small writes."""

        def transaction() -> T:
            with self._writing.begin() as connection:
                return work(connection)

        async with self._turn:
            return await in_thread(self._write_thread, transaction)

    async def ping(self) -> None:
        """Raise if the database does not answer."""
        async with self.read() as db:
            await db.value(text("SELECT 1"))

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


async def in_thread(threads: ThreadPoolExecutor, work: Callable[..., T], *args: Any) -> T:
    """Run `work` in a thread to its end; a cancellation is heeded after that."""
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
