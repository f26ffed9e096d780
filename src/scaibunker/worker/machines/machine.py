"""One machine: its state, and who may change it.

A task builds it; after that it changes only by order (pause, resume, destroy) or by its own end
(the VMM died, the guest powered off). Each order waits for the one before.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from scaibunker.wire.codes import Code
from scaibunker.wire.worker.machines import MachineSpec, MachineState, MachineStatus
from scaibunker.wire.worker.snapshots import SnapshotKind
from scaibunker.worker.errors import MachineNotRunning, WorkerFault
from scaibunker.worker.execs.spools import Spools
from scaibunker.worker.guest.agent import AgentRefusal, GuestAgent
from scaibunker.worker.machines.body import Body
from scaibunker.worker.machines.capture import Captured, capture
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.plan import carry_out, take_back
from scaibunker.worker.machines.record import MachineRecord
from scaibunker.worker.machines.steps import STEPS, STEPS_WHILE_PAUSED
from scaibunker.worker.templates import shape as templates
from scaibunker.worker.templates.warm import WarmStarts
from scaibunker.worker.vmm.console import read_tail
from scaibunker.worker.vmm.port import Progress

log = structlog.get_logger(__name__)

HOLD_TIMEOUT_S = 5.0
HOLD_LIMIT_S = 60.0
"""Seconds of its own after which a guest goes on by itself, should nobody tell it to."""

Orders = set[asyncio.Task[None]]
SESSION_PAUSE_S = 0.2
VMM_LOG_LIMIT = 1024 * 1024


@dataclass(frozen=True)
class Shape:
    """What a copy of its memory depends on; `memory_mb` in MiB, `macs` of its network devices."""

    vcpus: int
    memory_mb: int
    state_format: str
    macs: Sequence[str]


class Machine:
    """`changed` is called whenever there is news for the controller."""

    def __init__(
        self,
        record: MachineRecord,
        host: Host,
        changed: Callable[[], None],
        warm: WarmStarts | None = None,
    ) -> None:
        self._body = Body(record, host, warm)
        self._host = host
        self._changed = changed
        self._orders = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._state = MachineState.FAILED if record.failure else MachineState.BUILDING
        self._power_orders: Orders = set()
        self._takedowns: Orders = set()
        self._captures: set[asyncio.Task[Captured]] = set()
        self._gone = False
        self._captured = False
        self._settled = asyncio.Event()
        if record.failure:
            self._settled.set()
        self.spools = Spools(self._body.folder.spools, host.spool_limit_bytes, changed)

    @property
    def id(self) -> str:
        return self._body.spec.bunker_id

    @property
    def spec(self) -> MachineSpec:
        return self._body.spec

    @property
    def host_name(self) -> str:
        """What its control group and its folder of sockets are called."""
        return self._body.host_name

    @property
    def template_shape(self) -> templates.Shape:
        """What a template would have to be of for this machine to be made of it."""
        return self._body.shape

    @property
    def uid(self) -> int:
        return self._body.record.uid

    @property
    def state(self) -> MachineState:
        return self._state

    @property
    def agent(self) -> GuestAgent:
        """The guest's agent. Raises MachineNotRunning unless commands may run now."""
        if self._state is not MachineState.RUNNING or self._body.agent is None:
            raise MachineNotRunning(f"the machine is {self._state}")
        if self._captured:
            raise MachineNotRunning("the machine is being copied")
        return self._body.agent

    def trim_log(self) -> None:
        """Cut what the VMM itself has said, which a guest can provoke, if it is long."""
        log_file = self._body.folder.vmm_log
        with contextlib.suppress(OSError):
            if log_file.stat().st_size > VMM_LOG_LIMIT:
                os.truncate(log_file, 0)  # it is written in append mode

    def status(self) -> MachineStatus:
        record = self._body.record
        return MachineStatus(
            bunker_id=self.id,
            state=self._state,
            reason=record.failure,
            reason_code=record.failure_code,
            console_tail=record.console_tail,
            timings=self._body.timings,
            start=self._body.start,
            egress_bytes=self._body.egress_bytes(),
            incarnation=record.generation if record.spec.network else "",
        )

    def write_down(self) -> None:
        """Have the next daemon know of it, should this one die before it is its turn to be built. Where
        that fails the plan fails too, and says why."""
        with contextlib.suppress(OSError):
            self._body.save()

    def start(self) -> None:
        """Build it, or take over what an earlier daemon built, in a task of its own."""
        if self._state is MachineState.BUILDING and self._task is None:
            self._task = asyncio.create_task(self._live(), name=f"machine {self.id}")

    async def settled(self, timeout_s: float) -> None:
        """Wait until it is no longer being built, but not longer than `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()

    async def pause(self) -> None:
        """Freeze it in place. Raises MachineNotRunning, WorkerFault."""
        await self._carry_on(self._pause(), self._power_orders)

    async def resume(self) -> None:
        """Let it go on; the guest's clock is right before the first command runs."""
        await self._carry_on(self._resume(), self._power_orders)

    @property
    def record(self) -> MachineRecord:
        """What is written down of it."""
        return self._body.record

    @property
    def base_file(self) -> Path:
        """What is known of the snapshot that the next one may rest upon (`snapshots.bases`)."""
        return self._body.folder.base

    @property
    def shape(self) -> Shape:
        body = self._body
        return Shape(body.vcpus, body.memory_mb, self._host.driver.state_format, body.macs)

    async def capture(self, kind: SnapshotKind, folder: Path, progress: Progress) -> Captured:
        """Copy it into `folder`; it stands still meanwhile and goes on, cancelled or not. Raises
        MachineNotRunning, WorkerFault."""
        order = asyncio.create_task(self._capture(kind, folder, progress))
        self._captures.add(order)
        order.add_done_callback(self._captures.discard)
        try:
            return await order
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if order.cancelled() and not (current and current.cancelling()):
                raise MachineNotRunning("the machine was taken down") from None
            raise

    def disk_bytes(self) -> int:
        """What its disk takes of the worker's."""
        try:
            return self._body.folder.upper_disk.stat().st_blocks * 512
        except OSError:  # none yet, or none any more
            return 0

    async def go_on_if_stopped(self) -> None:
        """Let its guest go on if the VMM has stopped it by itself, for want of room on the worker's disk.
        Raises WorkerFault."""
        if self._state is MachineState.RUNNING and not self._orders.locked():
            await self._carry_on(self._go_on_if_stopped(), self._power_orders)

    async def destroy(self) -> None:
        """Take everything of it down and remove its folder. Idempotent. Raises WorkerFault if something
        is left."""
        for order in [*self._power_orders, *self._captures]:
            order.cancel()
        await self._carry_on(self._destroy(), self._takedowns)

    async def _carry_on(self, order: Coroutine[None, None, None], kind: Orders) -> None:
        """An order is carried out to its end, even if whoever gave it goes away: half of one would leave
        the machine in no state."""
        task = asyncio.create_task(order)
        kind.add(task)
        task.add_done_callback(kind.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(task)

    async def _pause(self) -> None:
        async with self._orders:
            if self._state is MachineState.PAUSED:
                return
            vmm, agent = self._body.vmm, self._body.agent
            if self._state is not MachineState.RUNNING or vmm is None or agent is None:
                raise MachineNotRunning(f"the machine is {self._state}")
            await _hold(agent)
            try:
                await vmm.pause()
            except BaseException:
                await _release(agent)
                raise
            self._move(MachineState.RUNNING, MachineState.PAUSED)

    async def _resume(self) -> None:
        async with self._orders:
            if self._state is MachineState.RUNNING:
                return
            vmm, agent = self._body.vmm, self._body.agent
            if self._state is not MachineState.PAUSED or vmm is None or agent is None:
                raise MachineNotRunning(f"the machine is {self._state}")
            await vmm.resume()
            try:
                await agent.set_clock()
                await _release(agent)
            except BaseException:
                await vmm.pause()  # what is told is true again
                raise
            self._move(MachineState.PAUSED, MachineState.RUNNING)

    async def _go_on_if_stopped(self) -> None:
        async with self._orders:
            vmm, agent = self._body.vmm, self._body.agent
            if self._state is not MachineState.RUNNING or vmm is None or agent is None:
                return
            if await vmm.is_paused():
                log.warning("machine_was_stopped", bunker_id=self.id)
                await vmm.resume()
                await agent.set_clock()

    async def _capture(self, kind: SnapshotKind, folder: Path, progress: Progress) -> Captured:
        async with self._orders:
            if self._state not in (MachineState.RUNNING, MachineState.PAUSED):
                raise MachineNotRunning(f"the machine is {self._state}")
            running = self._state is MachineState.RUNNING
            self._captured = True
            try:
                return await capture(self._body, kind, folder, running=running, progress=progress)
            finally:
                self._captured = False

    async def _destroy(self) -> None:
        async with self._orders:
            if self._gone:  # taken down twice at once; the id may be another machine's by now
                return
            self._set(MachineState.STOPPING)
            await self._stop_task()
            await self.spools.give_up("the bunker was terminated")
            failures = await take_back(STEPS, self._body)
            if failures:
                raise WorkerFault(f"cannot take the machine down: {'; '.join(failures)}")
            self._body.folder.remove()
            self._gone = True

    async def let_go(self) -> None:
        """Stop watching; the machine runs on for the next daemon."""
        await self._stop_task()
        await self.spools.close()
        if self._body.agent is not None:
            self._body.agent.link.close()
        if self._body.console is not None:
            await self._body.console.close()

    async def _live(self) -> None:
        adopted = self._body.record.ready
        try:
            await self._build()
        except WorkerFault as fault:
            await self._fail(fault.message, fault.code)
            return
        except Exception as error:
            log.exception("machine_build_broke", bunker_id=self.id)
            await self._fail(f"the worker failed: {type(error).__name__}")
            return
        self.spools.take_in()
        source = self.spec.snapshot
        pending = adopted or (source is not None and source.keep_execs)
        keeper = asyncio.create_task(self._keep_session(pending=pending), name=f"session {self.id}")
        try:
            await self._body.vmm_ended.wait()
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        outcome = self._body.vmm.outcome() if self._body.vmm else "its VMM ended"
        await self._fail(f"the machine stopped: {outcome}")

    async def _keep_session(self, *, pending: bool) -> None:
        """Commands that nobody follows are picked up: those of an earlier daemon (`pending`), and those
        whose session broke."""
        while True:
            agent = self._body.agent
            if pending and agent is not None and self._state is MachineState.RUNNING:
                await self.spools.resume(agent)
                pending = False
            if not pending and agent is not None:
                await agent.link.broken()
                pending = True
            await asyncio.sleep(SESSION_PAUSE_S)

    async def _build(self) -> None:
        body = self._body
        if body.record.ready:
            await self._take_over()
        else:
            async with self._turn():
                await self._build_anew()
            body.record.ready = True
            body.save()
        body.timings.running_ms = body.elapsed_ms()
        self._move(MachineState.BUILDING, MachineState.RUNNING)

    def _turn(self) -> asyncio.Semaphore:
        """Somebody waits for one that sleeps, with a command at hand: it does not stand behind new ones that boot."""
        source = self.spec.snapshot
        wakes = source is not None and source.keep_execs
        return self._host.wakes if wakes else self._host.boots

    async def _build_anew(self) -> None:
        """Of a prepared machine or a template if there is one. If that fails the bunker is booted: it is
        late then, and nothing else."""
        body = self._body
        try:
            await carry_out(STEPS, body)
        except WorkerFault as fault:
            slot, warm = body.slot, body.warm
            if slot is None or warm is None:
                raise
            log.warning("warm_start_failed", bunker_id=self.id, reason=fault.message)
            failures = await take_back(STEPS, body)
            if failures:
                raise WorkerFault(f"cannot take it back: {'; '.join(failures)}") from fault
            warm.spoiled(slot)
            body.begin_again()
            await carry_out(STEPS, body)
        if body.warm is not None and self.spec.snapshot is None and body.slot is None:
            body.warm.booted(body.shape, self.spec.disk_mb)

    async def _take_over(self) -> None:
        """A machine that an earlier daemon had running: it is there as it was, or it is lost."""
        body = self._body
        vmm = await body.find_vmm()
        if vmm is None:
            raise WorkerFault("the machine was gone when the worker started again")
        if body.record.frozen_for_copy:
            await vmm.abandon_save()
            await vmm.resume()
            body.record.frozen_for_copy = False
        if await vmm.is_paused():
            await carry_out(STEPS_WHILE_PAUSED, body)
            self._move(MachineState.BUILDING, MachineState.PAUSED)
            return
        await carry_out(STEPS, body)

    async def _fail(self, reason: str, code: Code = Code.INTERNAL_ERROR) -> None:
        """Give back what it holds; keep the reason until the controller has taken note."""
        if self._state in (MachineState.STOPPING, MachineState.FAILED):
            return
        body = self._body
        log.warning("machine_failed", bunker_id=self.id, reason=reason)
        self._set(MachineState.STOPPING)
        await self.spools.give_up(reason)
        await take_back(STEPS, body)
        body.record.failure = reason
        body.record.failure_code = code.value
        body.record.console_tail = read_tail(body.folder.console_log) or None
        try:
            body.save()
        except (OSError, ValueError) as error:  # a full disk must not hide the failure
            log.warning("machine_not_saved", bunker_id=self.id, error=repr(error))
        self._set(MachineState.FAILED)

    async def _stop_task(self) -> None:
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _move(self, expected: MachineState, state: MachineState) -> None:
        """Change state unless the machine has come to its end meanwhile."""
        if self._state is expected:
            self._set(state)

    def _set(self, state: MachineState) -> None:
        if state is not self._state:
            self._state = state
            self._settled.set()
            self._changed()


async def _hold(agent: GuestAgent) -> None:
    """Have a guest's programs stand before it is frozen, so that none of them goes on before its clock is
    right, and its disk be up to date. A guest that does not answer is frozen all the same."""
    try:
        await agent.hold(freeze_disk=False, limit_s=HOLD_LIMIT_S, timeout_s=HOLD_TIMEOUT_S)
    except WorkerFault as fault:
        log.info("guest_not_held", reason=fault.message)


async def _release(agent: GuestAgent) -> None:
    with contextlib.suppress(AgentRefusal):  # one of an older release, which knows no hold
        await agent.release()
