"""One machine: its state, and who may change it.

A task builds it; after that it changes only by order (pause, resume, destroy) or by its own end
(the VMM died, the guest powered off). Each order waits for the one before.
"""

import asyncio
import contextlib
from collections.abc import Callable

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

EXEC_STATES = (MachineState.RUNNING,)


class Machine:
    """`changed` is called whenever there is news for the controller."""

    def __init__(self, record: MachineRecord, host: Host, changed: Callable[[], None]) -> None:
        self._body = Body(record, host)
        self._host = host
        self._changed = changed
        self._orders = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._state = MachineState.FAILED if record.failure else MachineState.BUILDING
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
        if self._state not in EXEC_STATES or self._body.agent is None:
            raise MachineNotRunning(f"the machine is {self._state}")
        return self._body.agent

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
        async with self._orders:
            if self._state is MachineState.PAUSED:
                return
            vmm = self._body.vmm
            if self._state is not MachineState.RUNNING or vmm is None:
                raise MachineNotRunning(f"the machine is {self._state}")
            await vmm.pause()
            self._move(MachineState.RUNNING, MachineState.PAUSED)

    async def resume(self) -> None:
        """Let it go on; the guest's clock is right before the first command runs."""
        async with self._orders:
            if self._state is MachineState.RUNNING:
                return
            vmm, agent = self._body.vmm, self._body.agent
            if self._state is not MachineState.PAUSED or vmm is None or agent is None:
                raise MachineNotRunning(f"the machine is {self._state}")
            await vmm.resume()
            await agent.set_clock()
            self._move(MachineState.PAUSED, MachineState.RUNNING)
            await self.spools.resume(agent)

    async def destroy(self) -> None:
        """Take everything of it down and remove its folder. Idempotent. Raises WorkerFault if something
        is left."""
        async with self._orders:
            self._set(MachineState.STOPPING)
            await self._stop_task()
            await self.spools.close()
            failures = await take_back(STEPS, self._body)
            if failures:
                raise WorkerFault(f"cannot take the machine down: {'; '.join(failures)}")
            self._body.folder.remove()

    async def let_go(self) -> None:
        """Stop watching; the machine runs on for the next daemon."""
        await self._stop_task()
        await self.spools.close()
        if self._body.agent is not None:
            self._body.agent.link.close()
        if self._body.console is not None:
            await self._body.console.close()

    async def _live(self) -> None:
        try:
            await self._build()
        except WorkerFault as fault:
            await self._fail(fault.message)
            return
        except Exception as error:
            log.exception("machine_build_broke", bunker_id=self.id)
            await self._fail(f"the worker failed: {type(error).__name__}")
            return
        await self._body.vmm_ended.wait()
        outcome = self._body.vmm.outcome() if self._body.vmm else "its VMM ended"
        await self._fail(f"the machine stopped: {outcome}")

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
        process = body.record.process
        vmm = process and await self._host.driver.adopt(process, body.run_dir)
        if not vmm:
            raise WorkerFault("the machine was gone when the worker started again")
        if await vmm.is_paused():
            await carry_out(STEPS_WHILE_PAUSED, body)
            self._move(MachineState.BUILDING, MachineState.PAUSED)
            return
        await carry_out(STEPS, body)
        if body.agent is not None:
            await self.spools.resume(body.agent)

    async def _fail(self, reason: str) -> None:
        """Give back what it holds; keep the reason until the controller has taken note."""
        if self._state in (MachineState.STOPPING, MachineState.FAILED):
            return
        body = self._body
        log.warning("machine_failed", bunker_id=self.id, reason=reason)
        self._set(MachineState.STOPPING)
        await self.spools.close()
        await take_back(STEPS, body)
        body.record.failure = reason
        body.record.console_tail = read_tail(body.folder.console_log) or None
        body.save()
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
