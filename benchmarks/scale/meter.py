"""What work costs: read from the stores' own counters and from the processes' CPU, before and after it."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, make_url, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from scaigrid.live.store import LiveStore

CALLERS = 16
BARE = 2000
"""How often the least is done that there is to measure."""


@dataclass(frozen=True)
class Cost:
    """Of a phase, each: statements and transactions that MariaDB counted, rows that it wrote, commands
    that Redis was sent, and CPU, in ms, of each process. `per_s` is what this host managed."""

    name: str
    count: int
    per_s: float
    statements: float
    transactions: float
    rows_written: float
    redis_commands: float
    controller_ms: float
    mariadb_ms: float
    redis_ms: float


_FLOOR = Table(
    "floor", MetaData(), Column("id", Integer, primary_key=True), Column("text", String(255))
)


class Meter:
    """Reads the stores' own counters before and after."""

    def __init__(self, live: LiveStore, url: str, pids: Sequence[int]) -> None:
        self._engine: AsyncEngine = create_async_engine(
            make_url(url).set(drivername="mariadb+asyncmy"), pool_size=CALLERS
        )
        self._redis: Redis = live.client
        self._live = live
        self._mariadb, self._redis_pid = pids

    async def of(
        self, name: str, work: Callable[[Any], Awaitable[None]], subjects: Sequence[Any]
    ) -> Cost:
        """What it costs to do something for each, by several callers at once."""
        before = await self._now()
        begun = time.perf_counter()
        waiting = iter(subjects)

        async def caller() -> None:
            for each in waiting:
                await work(each)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        took = time.perf_counter() - begun
        after = await self._now()
        count = max(1, len(subjects))
        spent = {key: (after[key] - before[key]) / count for key in after}
        return Cost(
            name=name,
            count=len(subjects),
            per_s=len(subjects) / took,
            statements=spent["Questions"],
            transactions=spent["Com_commit"],
            rows_written=sum(spent[f"Handler_{each}"] for each in ("write", "update", "delete")),
            redis_commands=spent["redis"],
            controller_ms=spent["controller_s"] * 1e3,
            mariadb_ms=spent["mariadb_s"] * 1e3,
            redis_ms=spent["redis_s"] * 1e3,
        )

    async def floors(self) -> list[dict[str, Any]]:
        """The least that a statement, a transaction and a script can cost here."""
        async with self._engine.begin() as connection:
            await connection.execute(
                text("CREATE TABLE floor (id INT PRIMARY KEY, text VARCHAR(255))")
            )
            await connection.execute(insert(_FLOOR), [{"id": n, "text": ""} for n in range(BARE)])
        script = self._redis.register_script("return 1")

        async def statement(_number: int) -> None:
            async with self._engine.connect() as connection:
                await connection.execute(text("SELECT 1"))

        async def transaction(number: int) -> None:
            async with self._engine.begin() as connection:
                this = _FLOOR.c.id == number
                await connection.execute(update(_FLOOR).where(this).values(text="x" * 200))

        async def evalsha(_number: int) -> None:
            await self._live.ask(script(["a"], [1]))

        bare = {"bare SELECT 1": statement, "bare UPDATE of a row": transaction}
        measured = [await self.of(name, work, range(BARE)) for name, work in bare.items()]
        measured.append(await self.of("bare EVALSHA", evalsha, range(BARE)))
        await self._engine.dispose()
        return [asdict(each) for each in measured]

    async def bytes(self) -> int:
        """Of the files of all tables."""
        async with self._engine.connect() as connection:
            query = "SELECT SUM(FILE_SIZE) FROM information_schema.INNODB_SYS_TABLESPACES"
            return int((await connection.execute(text(query))).scalar_one())

    async def keys_left(self) -> int:
        """What Redis still keeps of bunkers that have all ended."""
        pattern = f"{self._live.key('quota', 'b')}*"
        return sum([1 async for _ in self._redis.scan_iter(pattern, count=1000)])

    async def _now(self) -> dict[str, float]:
        async with self._engine.connect() as connection:
            rows = (await connection.execute(text("SHOW GLOBAL STATUS"))).all()
        said = dict(rows)  # type: ignore[arg-type]
        names = ("Questions", "Com_commit", "Handler_write", "Handler_update")
        commands = await self._redis.info("commandstats")
        # What a script does inside counts as commands of their own: only what is sent is of interest.
        counted = {"cmdstat_evalsha", "cmdstat_publish"}
        return {
            **{name: float(said[name]) for name in (*names, "Handler_delete")},
            "redis": sum(commands[name]["calls"] for name in counted & commands.keys()),
            "controller_s": time.process_time(),
            "mariadb_s": _cpu_s(self._mariadb),
            "redis_s": _cpu_s(self._redis_pid),
        }


def _cpu_s(pid: int) -> float:
    """CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
