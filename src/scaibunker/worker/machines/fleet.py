"""All machines of this worker: ordering one, finding one, taking one down."""

import asyncio
import re
import secrets
from collections.abc import Callable, Iterator

from scaibunker.wire.codes import Code
from scaibunker.wire.guest.handshake import TOKEN_BYTES
from scaibunker.wire.worker.machines import MachineSpec, MachineState
from scaibunker.worker.errors import MachineNotFound, WorkerFault
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.machine import Machine
from scaibunker.worker.machines.record import MachineRecord, StateFolder
from scaibunker.worker.templates.shape import Shape
from scaibunker.worker.templates.warm import WarmStarts

MACHINE_ID = re.compile(r"[a-z]{2,8}_[A-Za-z0-9]{4,40}\Z")
"""Ids become names of folders, sockets and control groups: nothing else is let in."""

GENERATION_BYTES = 16


class Fleet:
    """`changed` is called whenever any machine has news."""

    def __init__(
        self,
        host: Host,
        uid_base: int,
        changed: Callable[[], None],
        warm: WarmStarts | None = None,
    ) -> None:
        self._host = host
        self._warm = warm
        self._uid_base = uid_base
        self._changed = changed
        self._machines: dict[str, Machine] = {}

    def __iter__(self) -> Iterator[Machine]:
        return iter(list(self._machines.values()))

    def get(self, machine_id: str) -> Machine:
        """Raises MachineNotFound."""
        try:
            return self._machines[machine_id]
        except KeyError:
            raise MachineNotFound(f"no machine {machine_id} on this worker") from None

    def order(self, spec: MachineSpec) -> Machine:
        """Have a machine built; one that is there already is left as it is. What was ordered is written
        down when this returns. Raises WorkerFault if the same id is ordered with another
        specification, or this worker's disk is full."""
        if not MACHINE_ID.match(spec.bunker_id):
            raise WorkerFault("bunker_id is not an id", Code.VALIDATION_ERROR)
        machine = self._machines.get(spec.bunker_id)
        if machine is not None:
            if machine.spec != spec:
                raise WorkerFault(
                    "a machine of that id exists with another specification", Code.NAME_CONFLICT
                )
            return machine
        self._check_network(spec)
        self._check_room()
        record = MachineRecord(
            spec=spec,
            token_hex=secrets.token_hex(TOKEN_BYTES),
            generation=secrets.token_hex(GENERATION_BYTES),
            uid=self.free_uid(),
        )
        machine = Machine(record, self._host, self._changed, self._warm)
        machine.write_down()
        return self._add(machine)

    def _check_network(self, spec: MachineSpec) -> None:
        """Another worker may have what this one lacks. Raises WorkerFault."""
        if spec.network is not None and spec.network.profile not in self._host.networks.profiles:
            raise WorkerFault(
                f"this worker offers no network of the profile {spec.network.profile}",
                Code.WORKER_UNAVAILABLE,
            )

    def _check_room(self) -> None:
        """Another worker may have what this one lacks. Raises WorkerFault."""
        try:
            free = self._host.room.free()
        except OSError as error:
            raise WorkerFault(
                f"cannot look at the worker's disk: {error.strerror}", Code.WORKER_UNAVAILABLE
            ) from error
        if free == 0:
            raise WorkerFault("the worker's disk is full", Code.WORKER_UNAVAILABLE)

    def take_over(self, folder: StateFolder) -> Machine | None:
        """Continue with what an earlier daemon wrote down; None if it wrote nothing readable."""
        record = folder.load()
        if record is None or record.spec.bunker_id != folder.path.name:
            return None
        return self._add(Machine(record, self._host, self._changed, self._warm))

    async def settle(self, timeout_s: float) -> None:
        """Wait until machines that were taken over answer again, but not longer than `timeout_s`."""
        await asyncio.gather(*(machine.settled(timeout_s) for machine in self))

    async def destroy(self, machine_id: str) -> None:
        """Take a machine down; nothing of it is left afterwards. Idempotent. Raises WorkerFault."""
        machine = self._machines.get(machine_id)
        if machine is not None:
            await machine.destroy()
            if self._machines.get(machine_id) is machine:
                del self._machines[machine_id]
            self._changed()

    async def destroy_all(self) -> None:
        """Take every machine down. Raises the first failure after all were tried."""
        results = await asyncio.gather(*(self.destroy(m.id) for m in self), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def let_go(self) -> None:
        """Leave every machine running for the next daemon."""
        await asyncio.gather(*(machine.let_go() for machine in self))

    def _add(self, machine: Machine) -> Machine:
        self._machines[machine.id] = machine
        machine.start()
        return machine

    def building(self) -> list[Shape]:
        """Of each machine that is being built, what a template would be of for it to be made of."""
        return [m.template_shape for m in self if m.state is MachineState.BUILDING]

    def free_uid(self) -> int:
        """A user that no VMM of this worker runs as."""
        taken = {machine.uid for machine in self._machines.values()}
        if self._warm is not None:
            taken |= self._warm.uids
        # Another daemon's machines on the same host count from another place.
        uid = self._uid_base
        while uid in taken:
            uid += 1
        return uid
