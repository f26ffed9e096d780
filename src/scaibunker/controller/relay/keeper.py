"""Bringing in the output of commands that nobody waited for.

A detached command, and one whose caller's connection broke, leaves its output on its worker, where
it is lost with the bunker. When the worker reports the end, the output is copied to object storage.
What cannot be had stays where it is; reading it there goes on to work while the bunker lives.
"""

import contextlib
from collections.abc import Sequence

import structlog

from scaibunker.controller.relay.command import Relay
from scaibunker.controller.relay.detached import spooled
from scaibunker.controller.relay.domain import ExecEntry, ExecState
from scaibunker.controller.relay.frames import StreamBroken
from scaibunker.controller.relay.outputs import (
    Capture,
    captured,
    closing,
    object_key,
    output_ref,
)
from scaibunker.controller.relay.target import running
from scaibunker.controller.worklist import Worklist
from scaibunker.wire.api.execs import PREVIEW_LIMIT
from scaibunker.wire.guest.frames import Kind
from scaibunker.wire.worker.machines import ExecStatus
from scaigrid import logs
from scaigrid.clock import Clock
from scaigrid.errors import GridError
from scaigrid.operation import Operation, system_operation

log = structlog.get_logger(__name__)

CONCURRENCY = 4
TIMEOUT_S = 600.0


class Keeper:
    """Takes workers' reports of commands that ended, and fetches their output."""

    def __init__(self, relay: Relay, clock: Clock) -> None:
        self._relay = relay
        self._clock = clock
        self._worklist = Worklist(self._fetch, CONCURRENCY)

    async def finished(
        self, op: Operation, worker_id: str, reports: Sequence[ExecStatus]
    ) -> list[str]:
        """Record how commands ended, as their worker says; returns the ids that need not be told again."""
        done = await self._relay.log.finished(op, worker_id, reports)
        for report in reports:
            if report.exit is not None:
                self._worklist.hint((report.bunker_id, report.exec_id))
        return done

    async def close(self) -> None:
        """Break off what is being fetched."""
        await self._worklist.close()

    async def _fetch(self, which: tuple[str, str]) -> None:
        logs.of_system("keeper")
        bunker_id, exec_id = which
        op = system_operation("keeper", self._clock)
        entry = await self._relay.log.get(op, bunker_id, exec_id)
        if entry is None or entry.state is not ExecState.EXITED or entry.output.ref:
            return
        known = len(entry.output.stdout_head) + len(entry.output.stderr_head)
        if not entry.detach and entry.output.stdout_bytes + entry.output.stderr_bytes <= known:
            return
        try:
            await self._copy(op, entry)
        except (GridError, StreamBroken) as error:
            log.info("output stays on its worker", exec_id=exec_id, reason=str(error))

    async def _copy(self, op: Operation, entry: ExecEntry) -> None:
        relay = self._relay
        ref = output_ref(entry.tenant_id, entry.bunker_id, entry.id)
        stdout = Capture(relay.store, object_key(ref, "stdout"), PREVIEW_LIMIT)
        stderr = Capture(relay.store, object_key(ref, "stderr"), PREVIEW_LIMIT)
        target = await running(op, relay.database, entry.bunker_id)
        async with (
            closing(stdout, stderr),
            spooled(relay, target, entry, TIMEOUT_S) as stream,
            contextlib.aclosing(stream) as frames,
        ):
            async for frame in frames:
                if frame.kind is Kind.STDOUT:
                    await stdout.take(frame.payload)
                elif frame.kind is Kind.STDERR:
                    await stderr.take(frame.payload)
        relay.log.keep(entry.id, captured(stdout, stderr, ref))
