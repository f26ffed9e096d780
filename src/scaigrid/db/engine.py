"""The database and its units of work: `read`, `write`, `transaction` and `apply`.

All are short by rule: nothing that waits for the network or a machine happens inside one. What a
`read` executes are single statements, each consistent in itself; work that needs a consistent view
over several statements is a transaction.

When the database does not answer: a read is tried again for a while, and so is the beginning of a
transaction; `transaction` and `apply` are also run again when the database was busy (a deadlock, or
a lock that was not given in time), because then nothing of them has happened. Everything else ends
in DatabaseUnavailable, which is a 503; it says so if the change may have been made.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Executable, RowMapping, text
from sqlalchemy.exc import IntegrityError

from scaigrid.db import dialect as _dialect  # noqa: F401 - teaches MariaDB our types
from scaigrid.db.backend import Backend, Run, Work
from scaigrid.db.errors import DatabaseBusy
from scaigrid.db.faults import translate
from scaigrid.db.mariadb import MariaDbBackend
from scaigrid.db.meter import DatabaseMeter
from scaigrid.db.sqlite import SqliteBackend
from scaigrid.metrics.registry import Metrics
from scaigrid.settings.database import DatabaseSettings
from scaigrid.tracing import spans as tracing

T = TypeVar("T")
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None

ATTEMPTS = 5
"""How often a transaction is run that the database is too busy for."""
_PAUSE_S = 0.02


class Reader:
    """Executes statements that return rows."""

    def __init__(self, run: Run) -> None:
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


class Database:
    """Owns the connections. Connects at the first use, not when it is made."""

    def __init__(self, settings: DatabaseSettings, metrics: Metrics | None = None) -> None:
        self._settings = settings
        self._patience_s = settings.retry_s
        self._backend: Backend = (
            SqliteBackend(settings) if settings.is_sqlite else MariaDbBackend(settings)
        )
        self.meter = DatabaseMeter(metrics or Metrics())
        self.meter.watch(self._backend.pools)

    def unhurried(self) -> "Database":
        """The same database with connections of its own, on which a statement may take as long as
        it does: rebuilding a large table is not bound to a request's time. To be closed."""
        return Database(self._settings.model_copy(update={"statement_timeout_s": 0}))

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Single statements that change nothing."""
        yield Reader(self._read)

    async def _read(self, work: Work[T]) -> T:
        with self.meter.unit("read"), tracing.span("database read"):
            return await self._while_away(lambda: self._backend.read(work))

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """A transaction: committed at the end of the block, rolled back if it raises."""
        async with contextlib.AsyncExitStack() as held:
            held.enter_context(self.meter.unit("write"))
            held.enter_context(tracing.span("database write"))
            run = await self._while_away(
                lambda: held.enter_async_context(self._backend.transaction())
            )
            with _translated():
                async with held.pop_all():
                    yield Writer(run)

    async def transaction(self, work: Callable[[Writer], Awaitable[T]]) -> T:
        """A `write` that is run again if the database was busy: `work` does nothing but SQL."""

        async def once() -> T:
            async with self.write() as db:
                return await work(db)

        return await self._while_busy(once)

    async def upsert(self, work: Callable[[Writer], Awaitable[T]]) -> T:
        """A `transaction` that makes a row unless it finds it; run again if another makes the row
        in this moment, because then it is found."""
        try:
            return await self.transaction(work)
        except IntegrityError:
            return await self.transaction(work)

    async def apply(self, work: Work[T]) -> T:
        """A whole transaction as one piece of synchronous work: one hop, for small writes."""

        async def once() -> T:
            with _translated():
                return await self._backend.apply(work)

        with self.meter.unit("apply"), tracing.span("database apply"):
            return await self._while_busy(once)

    async def ping(self) -> None:
        """Raise DatabaseUnavailable if the database does not answer."""
        with _translated():
            await self._backend.read(lambda c: c.execute(text("SELECT 1")).scalar_one())

    async def close(self) -> None:
        """Close every connection."""
        await self._backend.close()

    async def _while_away(self, once: Callable[[], Awaitable[T]]) -> T:
        """The result of `once`, which may be tried again: by then nothing of it has happened."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return await once()
            except Exception as error:
                await self._patience(error, deadline)

    async def _patience(self, error: Exception, deadline: float) -> None:
        """Wait a little before the next attempt; raises what it was if there must be none."""
        known = translate(error)
        if known is None:
            raise error
        pause = _PAUSE_S * (1 + 4 * random.random())  # noqa: S311 - so that not all come at once
        if time.monotonic() + pause >= deadline:
            raise known from (None if known is error else error)
        self.meter.retry(known)
        await asyncio.sleep(pause)

    async def _while_busy(self, once: Callable[[], Awaitable[T]]) -> T:
        """The result of `once`, run again if the database has refused it; not after it was waited
        for in vain as long as one waits: that would be the same again."""
        deadline = time.monotonic() + self._settings.busy_timeout_s
        for attempt in range(1, ATTEMPTS):
            try:
                return await once()
            except DatabaseBusy as error:
                if time.monotonic() >= deadline:
                    raise
                self.meter.retry(error)
                await asyncio.sleep(_PAUSE_S * attempt * (1 + random.random()))  # noqa: S311
        return await once()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        known = translate(error)
        if known is None or known is error:
            raise
        raise known from error
