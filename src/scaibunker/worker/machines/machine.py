"""One machine: its state, and who may change it.

A task builds it; after that it changes only by order (pause, resume, destroy) or by its own end
(the VMM died, the guest powered off). Each order waits for the one before.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine

import structlog

from scaibunker.wire.worker.machines import MachineSpec, MachineState, MachineStatus
from scaibunker.worker.errors import MachineNotRunning, WorkerFault
from scaibunker.worker.execs.spools import Spools
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.machines.body import Body
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.plan import carry_out, take_back
from scaibunker.worker.machines.record import MachineRecord
from scaibunker.worker.machines.steps import STEPS, STEPS_WHILE_PAUSED
from scaibunker.worker.vmm.console import read_tail

log = structlog.get_logger(__name__)

Orders = set[asyncio.Task[None]]
SESSION_PAUSE_S = 0.2
VMM_LOG_LIMIT = 1024 * 1024


class Machine:
    """`changed` is called whenever there is news for the controller."""

    def __init__(self, record: MachineRecord, host: Host, changed: Callable[[], None]) -> None:
        self._body = Body(record, host)
        self._host = host
        self._changed = changed
        self._orders = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._state = MachineState.FAILED if record.failure else MachineState.BUILDING
        self._power_orders: Orders = set()
        self._takedowns: Orders = set()
        self._gone = False
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
            console_tail=record.console_tail,
            timings=self._body.timings,
        )

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

    async def destroy(self) -> None:
        """Take everything of it down and remove its folder. Idempotent. Raises WorkerFault if something
        is left."""
        for order in list(self._power_orders):
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
            vmm = self._body.vmm
            if self._state is not MachineState.RUNNING or vmm is None:
                raise MachineNotRunning(f"the machine is {self._state}")
            await vmm.pause()
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
            except BaseException:
                await vmm.pause()  # what is told is true again
                raise
            self._move(MachineState.PAUSED, MachineState.RUNNING)

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
            await self._fail(fault.message)
            return
        except Exception as error:
            log.exception("machine_build_broke", bunker_id=self.id)
            await self._fail(f"the worker failed: {type(error).__name__}")
            return
        keeper = asyncio.create_task(self._keep_session(pending=adopted), name=f"session {self.id}")
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
            async with self._host.boots:
                await carry_out(STEPS, body)
            body.record.ready = True
            body.save()
        body.timings.running_ms = body.elapsed_ms()
        self._move(MachineState.BUILDING, MachineState.RUNNING)

    async def _take_over(self) -> None:
        """A machine that an earlier daemon had running: it is there as it was, or it is lost."""
        body = self._body
        vmm = await body.find_vmm()
        if vmm is None:
            raise WorkerFault("the machine was gone when the worker started again")
        if await vmm.is_paused():
            await carry_out(STEPS_WHILE_PAUSED, body)
            self._move(MachineState.BUILDING, MachineState.PAUSED)
            return
        await carry_out(STEPS, body)

    async def _fail(self, reason: str) -> None:
        """Give back what it holds; keep the reason until the controller has taken note."""
        if self._state in (MachineState.STOPPING, MachineState.FAILED):
            return
        body = self._body
        log.warning("machine_failed", bunker_id=self.id, reason=reason)
        self._set(MachineState.STOPPING)
        await self.spools.give_up(reason)
        await take_back(STEPS, body)
        body.record.failure = reason
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
