"""All the commands of one machine that are kept on disk, and the tasks that fill them."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from scaibunker.wire.codes import Code
from scaibunker.wire.guest.execs import EXEC_ID, ExecStart, GuestExec
from scaibunker.wire.worker.machines import ExecStatus
from scaibunker.worker.errors import ExecNotFound, GuestUnreachable, WorkerFault
from scaibunker.worker.execs.spool import Budget, Spool
from scaibunker.worker.guest.agent import GuestAgent, refusal
from scaibunker.worker.guest.stream import GuestStream

log = structlog.get_logger(__name__)

SUFFIX = ".frames"
MAX_SPOOLS = 1000
"""Commands remembered per machine; the oldest finished ones go first."""
REFUSAL_LIMIT = 64 * 1024
RETRY_S = 0.5
RESUME_TRIES = 20
LOST_AFTER_S = 60.0
"""Seconds that an agent may be unreachable before a command's end counts as unknown."""


@dataclass(frozen=True)
class Output:
    """What is kept of a command: the first `size` bytes of a file that only grows."""

    exec_id: str
    path: Path
    size: int


class Spools:
    """`changed` is called when a command has ended, so that the controller hears of it."""

    def __init__(self, folder: Path, limit: int, changed: Callable[[], None]) -> None:
        self._folder = folder
        self._budget = Budget(limit)
        self._changed = changed
        self._spools: dict[str, Spool] = {}
        self._pumps: dict[str, asyncio.Task[None]] = {}
        self._unreported: set[str] = set()
        self._reported: set[str] = set()
        self.take_in()

    def take_in(self) -> None:
        """Know what lies in the folder: of an earlier daemon, or of the machine that a bunker had before it slept."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            with contextlib.suppress(OSError, ExecNotFound):
                self._add(path.name.removesuffix(SUFFIX))

    def outputs(self) -> list[Output]:
        """Of commands that run, and of those whose end nobody has heard of yet."""
        return [
            Output(exec_id, self._folder / f"{exec_id}{SUFFIX}", spool.size)
            for exec_id, spool in self._spools.items()
            if exec_id not in self._reported
        ]

    def get(self, exec_id: str) -> Spool:
        """Raises ExecNotFound."""
        try:
            return self._spools[exec_id]
        except KeyError:
            raise ExecNotFound(f"no command {exec_id} is kept here") from None

    async def start(self, agent: GuestAgent, exec_id: str, start: ExecStart, stdin: bytes) -> Spool:
        """Start a command and keep its output. Raises WorkerFault; nothing is kept then."""
        if exec_id in self._spools:
            raise WorkerFault(f"command {exec_id} exists", Code.NAME_CONFLICT)
        self._make_room()
        stream = await _accepted(await agent.start_exec(exec_id, start, stdin))
        try:
            spool = self._add(exec_id)
        except BaseException:
            stream.reset()
            raise
        self._pump(spool, agent, stream)
        return spool

    async def resume(self, agent: GuestAgent) -> None:
        """Pick up every command that the agent knows and nobody follows; tried again for a while
        if the agent does not answer. Failures are logged: the machine is more than its commands."""
        for _ in range(RESUME_TRIES):
            try:
                self._take_up(await agent.execs(), agent)
                return
            except WorkerFault as fault:
                log.warning("execs_not_resumed", reason=fault.message)
                await asyncio.sleep(RETRY_S)

    def _take_up(self, known: list[GuestExec], agent: GuestAgent) -> None:
        for guest_exec in known[:MAX_SPOOLS]:
            exec_id = guest_exec.exec_id
            if exec_id not in self._spools:
                try:
                    self._make_room()
                    self._add(exec_id).reopened(in_place=False)
                except (WorkerFault, OSError) as error:
                    log.warning("exec_not_taken_up", error=repr(error))
        for exec_id, spool in self._spools.items():
            if exec_id not in self._pumps and not spool.finished:
                self._pump(spool, agent, None)
            elif spool.finished and exec_id not in self._reported:
                self._unreported.add(exec_id)
        self._changed()

    def finished(self) -> list[ExecStatus]:
        """Commands whose end the controller has not acknowledged."""
        return [self._spools[exec_id].status() for exec_id in sorted(self._unreported)]

    def acknowledge(self, exec_id: str) -> None:
        if exec_id in self._unreported:
            self._unreported.discard(exec_id)
            self._reported.add(exec_id)

    async def give_up(self, reason: str) -> None:
        """The machine is at its end: no command's end will be known that is not known yet."""
        await self.close()
        for exec_id, spool in self._spools.items():
            if not spool.finished:
                await spool.give_up(reason)
                self._unreported.add(exec_id)
        self._changed()

    async def close(self) -> None:
        """Stop filling; the files stay."""
        pumps = list(self._pumps.values())
        self._pumps.clear()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    def _add(self, exec_id: str) -> Spool:
        if not EXEC_ID.match(exec_id):  # also those that a guest makes up
            raise ExecNotFound("that is no id of a command")
        if exec_id not in self._spools:
            path = self._folder / f"{exec_id}{SUFFIX}"
            self._spools[exec_id] = Spool(path, self._folder.parent.name, self._budget)
        return self._spools[exec_id]

    def _make_room(self) -> None:
        while len(self._spools) >= MAX_SPOOLS:
            oldest = next((s for s in self._spools.values() if s.finished), None)
            if oldest is None:
                raise WorkerFault(f"at most {MAX_SPOOLS} detached commands at a time")
            del self._spools[oldest.exec_id]
            self._unreported.discard(oldest.exec_id)
            self._reported.discard(oldest.exec_id)
            oldest.remove()

    def _pump(self, spool: Spool, agent: GuestAgent, stream: GuestStream | None) -> None:
        task = asyncio.create_task(self._fill(spool, agent, stream), name=f"spool {spool.exec_id}")
        self._pumps[spool.exec_id] = task

    async def _fill(self, spool: Spool, agent: GuestAgent, stream: GuestStream | None) -> None:
        """Until the command's end, over as many sessions with the agent as it takes."""
        try:
            await self._fill_until_finished(spool, agent, stream)
        except asyncio.CancelledError:
            raise
        except WorkerFault as fault:
            await spool.give_up(fault.message)
        except ValueError:
            await spool.give_up("the guest agent sent something that is no command output")
        except OSError as error:
            await spool.give_up(f"the worker cannot store the output: {error.strerror}")
        except Exception as error:
            log.exception("spool_broke", exec_id=spool.exec_id)
            await spool.give_up(f"the worker failed: {type(error).__name__}")
        self._pumps.pop(spool.exec_id, None)
        self._unreported.add(spool.exec_id)
        self._changed()

    async def _fill_until_finished(
        self, spool: Spool, agent: GuestAgent, stream: GuestStream | None
    ) -> None:
        loop = asyncio.get_running_loop()
        silent_since = loop.time()
        while not spool.finished:
            try:
                stream = stream or await self._reopen(spool, agent)
                async for data in stream.chunks():
                    silent_since = loop.time()
                    await spool.append(data)
                if not spool.finished:
                    raise GuestUnreachable("the stream of output ended without an end")
            except GuestUnreachable:
                if loop.time() - silent_since > LOST_AFTER_S:
                    raise
                await asyncio.sleep(RETRY_S)
            finally:
                if stream is not None:
                    stream.reset()
                    stream = None

    async def _reopen(self, spool: Spool, agent: GuestAgent) -> GuestStream:
        """The agent's stream from where we are; from its oldest byte if it no longer has that."""
        spool.reopened(in_place=True)
        stream = await agent.exec_frames(spool.exec_id, spool.offset)
        if stream.status == 410:
            stream.reset()
            spool.reopened(in_place=False)
            stream = await agent.exec_frames(spool.exec_id, None)
        return await _accepted(stream)


async def _accepted(stream: GuestStream) -> GuestStream:
    """The stream, if the agent does what it was asked for. Raises its refusal; the stream is given up
    then."""
    if stream.status == 200:
        return stream
    try:
        raise refusal(stream.status, await stream.read(REFUSAL_LIMIT))
    finally:
        stream.reset()
