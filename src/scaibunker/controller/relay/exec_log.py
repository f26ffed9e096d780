"""The exec log: written so that no command runs unseen, and so that writing costs a command little.

`begin` starts to store an entry while the command is already on its way; the command's answer
waits until it is durable. How it ended is written a moment later, together with others. A crash in
between leaves an entry that still says `running`; `overdue` calls it lost once its time is over,
and the worker's own report corrects that if it comes.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import (
    BindParameter,
    Executable,
    RowMapping,
    bindparam,
    insert,
    select,
    update,
)

from scaibunker.controller.bunkers.activity import Activity
from scaibunker.controller.bunkers.repository import reachable
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.relay.domain import Ending, ExecEntry, ExecState, Output
from scaibunker.controller.relay.tables import execs
from scaibunker.wire.worker.machines import ExecStatus
from scaigrid.clock import SystemClock
from scaigrid.db import Database, Reader
from scaigrid.db.batch import BatchWriter
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.operation import Operation, system_operation
from scaigrid.tenancy.scope import everywhere

log = structlog.get_logger(__name__)

END_S = 2.0
"""How long a caller waits for the log once the end of its command is known."""
TAKE_S = 2.0
"""Seconds for what one heartbeat says of commands: a worker waits 5 s for its answer. What there was
no time for is not acknowledged, and so is said again."""
TAKEN_AT_ONCE = 500
MAX_ERROR = 2000
_OPEN = (ExecState.RUNNING.value, ExecState.LOST.value)
_ENDING = ("exit_code", "signal", "timed_out", "duration_ms")
_OUTPUT = ("stdout_bytes", "stderr_bytes", "stdout_head", "stderr_head")


def _new(*columns: str) -> "dict[str, BindParameter[Any]]":
    """New values for columns; SQLAlchemy keeps a parameter of a column's own name to itself."""
    return {name: bindparam(f"new_{name}") for name in columns}


_OP = system_operation("exec_log", SystemClock())
"""The log is the platform's: it writes of bunkers that were found in their callers' scope."""
_THIS = (execs.c.id == bindparam("exec_id")) & everywhere(_OP, execs)
_BEGIN = insert(execs)
_END = (
    update(execs)
    .where(_THIS, execs.c.state.in_(_OPEN))
    .values(_new("state", *_ENDING, *_OUTPUT, "output_ref") | {"error": None})
)
_KEEP = update(execs).where(_THIS).values(_new(*_OUTPUT, "output_ref"))
_LOSE = (
    update(execs)
    .where(_THIS, execs.c.state == ExecState.RUNNING.value)
    .values(_new("state", "error", *_OUTPUT))
)


class ExecLog:
    """Writes and reads the log."""

    def __init__(
        self,
        database: Database,
        writer: BatchWriter,
        activity: Activity,
        metrics: ControllerMetrics,
    ) -> None:
        self._database = database
        self._writer = writer
        self._activity = activity
        self._metrics = metrics

    def begin(self, entry: ExecEntry) -> "asyncio.Future[None]":
        """Store a new entry; durable when the future is done, which raises if it exists."""
        self._metrics.execs_started.inc()
        return self._writer.submit(
            _BEGIN,
            {
                "id": entry.id,
                "bunker_id": entry.bunker_id,
                "tenant_id": entry.tenant_id,
                "user_id": entry.user_id,
                "command": entry.command,
                "user": entry.user,
                "detach": entry.detach,
                "state": entry.state.value,
                "started_at": entry.started_at,
                "deadline_at": entry.deadline_at,
                "timed_out": False,
                **_sizes(entry.output),
            },
        )

    async def durable(self, recorded: "asyncio.Future[None]") -> None:
        """Wait for what `begin` has handed in. Raises DatabaseUnavailable after a while."""
        await self._writer.durable(recorded)

    def end(self, exec_id: str, ending: Ending, output: Output) -> "asyncio.Future[None]":
        """Record how a command ended. What was called lost is corrected; an end stays."""
        self._metrics.execs_ended.labels(ExecState.EXITED.value).inc()
        told = {name: getattr(ending, name) for name in _ENDING}
        values = {"state": ExecState.EXITED.value, **told, **_kept(output)}
        return self._change(_END, exec_id, values, urgent=True)

    async def written(self, end: "asyncio.Future[None]") -> None:
        """Wait until an end is durable: what its caller is told, every replica's log says from then
        on, whoever dies. While the database is away the caller is told all the same."""
        with contextlib.suppress(Exception):  # it has been logged
            await self._writer.durable(end, END_S)

    def lose(self, exec_id: str, why: str, output: Output) -> None:
        """Record that nobody knows how a command ended."""
        self._metrics.execs_ended.labels(ExecState.LOST.value).inc()
        values = {"state": ExecState.LOST.value, "error": why[:MAX_ERROR], **_sizes(output)}
        self._change(_LOSE, exec_id, values)

    def keep(self, exec_id: str, output: Output) -> None:
        """Record where the output of a command that has ended is kept."""
        self._change(_KEEP, exec_id, _kept(output))

    def _change(
        self,
        statement: Executable,
        exec_id: str,
        values: Mapping[str, Any],
        *,
        urgent: bool = False,
    ) -> "asyncio.Future[None]":
        named = {f"new_{name}": value for name, value in values.items()}
        try:
            return self._writer.submit(statement, {"exec_id": exec_id, **named}, urgent=urgent)
        except DatabaseUnavailable as error:
            # What is known of the end must still reach the caller; the entry becomes `lost`.
            log.error("the end of a command has no place in the queue", exec_id=exec_id)
            refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            refused.exception()  # it has been looked at, should nobody do so
            return refused

    async def get(self, op: Operation, bunker_id: str, exec_id: str) -> ExecEntry | None:
        """An entry of a bunker that the caller may reach."""
        await self._writer.flush()
        async with self._database.read() as db:
            return await _find(op, db, bunker_id, exec_id)

    async def listing(self, op: Operation, bunker_id: str, page: PageRequest) -> Slice[ExecEntry]:
        """A bunker's commands, newest first."""
        await self._writer.flush()
        query = select(execs).join(bunkers, bunkers.c.id == execs.c.bunker_id)
        query = query.where(execs.c.bunker_id == bunker_id, reachable(op))
        async with self._database.read() as db:
            rows = await db.rows(newest_first(query, execs.c.started_at, execs.c.id, page))
            entries = [_entry(row) for row in rows]
        return page.slice(entries, lambda e: (e.started_at, e.id))

    async def finished(
        self, op: Operation, worker_id: str, reports: Sequence[ExecStatus]
    ) -> list[str]:
        """Take a worker's word for how commands of its own bunkers ended; returns the ids that need not
        be told again: what is durable now, and what is not this worker's to tell."""
        ended = (r for r in reports if r.exit is not None or not r.running)
        told = list({(report.bunker_id, report.exec_id): report for report in ended}.values())
        done: list[str] = []
        until = time.monotonic() + TAKE_S
        for start in range(0, len(told), TAKEN_AT_ONCE):
            done += await self._take(op, worker_id, told[start : start + TAKEN_AT_ONCE])
            if time.monotonic() >= until:
                break
        return done

    async def _take(
        self, op: Operation, worker_id: str, reports: Sequence[ExecStatus]
    ) -> list[str]:
        waits: dict[str, asyncio.Future[None]] = {}
        done: list[str] = []
        await self._writer.flush()
        async with self._database.read() as db:
            known = await _of_worker(op, db, worker_id, [report.exec_id for report in reports])
        for report in reports:
            entry = known.get((report.bunker_id, report.exec_id))
            if entry is None or entry.state is ExecState.EXITED:
                done.append(report.exec_id)
            elif report.exit is None:
                self.lose(report.exec_id, report.error or "its end is not known", Output())
                done.append(report.exec_id)
            else:
                ending = Ending(**report.exit.model_dump())
                waits[report.exec_id] = self.end(report.exec_id, ending, reported_output(report))
        await self._writer.flush()
        return [*done, *(i for i, wait in waits.items() if wait.done() and not wait.exception())]

    async def count_detached(self) -> None:
        """Count what runs detached as activity of its bunker; in one that is passivated nothing does."""
        running = (
            select(execs.c.bunker_id)
            .join(bunkers, bunkers.c.id == execs.c.bunker_id)
            .where(
                bunkers.c.passivated.is_(False),
                everywhere(_OP, bunkers),
                execs.c.state == ExecState.RUNNING.value,
                execs.c.detach.is_(True),
                everywhere(_OP, execs),
            )
            .distinct()
        )
        async with self._database.read() as db:
            busy = list(await db.values(running))
        for bunker_id in busy:
            self._activity.touch(bunker_id)


async def _find(op: Operation, db: Reader, bunker_id: str, exec_id: str) -> ExecEntry | None:
    """An entry that the caller may reach."""
    query = select(execs).join(bunkers, bunkers.c.id == execs.c.bunker_id)
    query = query.where(execs.c.id == exec_id, execs.c.bunker_id == bunker_id, reachable(op))
    row = await db.row(query)
    return _entry(row) if row else None


async def _of_worker(
    op: Operation, db: Reader, worker_id: str, exec_ids: Sequence[str]
) -> dict[tuple[str, str], ExecEntry]:
    """Those entries whose bunkers are a worker's, by the ids of bunker and command. Of a bunker that is
    about to wake up a worker can only say what was before it slept."""
    query = select(execs).join(bunkers, bunkers.c.id == execs.c.bunker_id)
    query = query.where(
        execs.c.id.in_(exec_ids),
        bunkers.c.worker_id == worker_id,
        bunkers.c.passivated.is_(False),
        reachable(op),
    )
    entries = [_entry(row) for row in await db.rows(query)]
    return {(entry.bunker_id, entry.id): entry for entry in entries}


def reported_output(report: ExecStatus) -> Output:
    """What a worker says of a spooled command's output."""
    sizes = (report.stdout_bytes, report.stderr_bytes)
    return Output.of(report.stdout_preview.encode(), b"", sizes)


def _sizes(output: Output) -> dict[str, Any]:
    return {name: getattr(output, name) for name in _OUTPUT}


def _kept(output: Output) -> dict[str, Any]:
    return {**_sizes(output), "output_ref": output.ref}


def _entry(row: RowMapping) -> ExecEntry:
    ending = None
    if row["state"] == ExecState.EXITED:
        ending = Ending(row["exit_code"], row["signal"], row["timed_out"], row["duration_ms"] or 0)
    return ExecEntry(
        id=row["id"],
        bunker_id=row["bunker_id"],
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        command=row["command"],
        user=row["user"],
        detach=row["detach"],
        state=ExecState(row["state"]),
        started_at=row["started_at"],
        deadline_at=row["deadline_at"],
        ending=ending,
        output=Output(
            row["stdout_bytes"],
            row["stderr_bytes"],
            row["stdout_head"],
            row["stderr_head"],
            row["output_ref"],
        ),
        error=row["error"],
    )
