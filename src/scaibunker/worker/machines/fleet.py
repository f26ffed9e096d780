"""All machines of this worker: ordering one, finding one, taking one down."""

import asyncio
import re
import secrets
from collections.abc import Callable, Iterator

from scaibunker.wire.codes import Code
from scaibunker.wire.guest.handshake import TOKEN_BYTES
from scaibunker.wire.worker.machines import MachineSpec
from scaibunker.worker.errors import MachineNotFound, WorkerFault
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.machine import Machine
from scaibunker.worker.machines.record import MachineRecord, StateFolder

MACHINE_ID = re.compile(r"[a-z]{2,8}_[A-Za-z0-9]{4,40}\Z")
"""Ids become names of folders, sockets and control groups: nothing else is let in."""


class Fleet:
    """`changed` is called whenever any machine has news."""

    def __init__(self, host: Host, uid_base: int, changed: Callable[[], None]) -> None:
        self._host = host
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
        """Have a machine built; one that is there already is left as it is. Raises WorkerFault if the
        same id is ordered with another specification."""
        if not MACHINE_ID.match(spec.bunker_id):
            raise WorkerFault("bunker_id is not an id", Code.VALIDATION_ERROR)
        machine = self._machines.get(spec.bunker_id)
        if machine is not None:
            if machine.spec != spec:
                raise WorkerFault(
                    "a machine of that id exists with another specification", Code.NAME_CONFLICT
                )
            return machine
        record = MachineRecord(
            spec=spec, token_hex=secrets.token_hex(TOKEN_BYTES), uid=self._free_uid()
        )
        return self._add(record)

    def take_over(self, folder: StateFolder) -> Machine | None:
        """Continue with what an earlier daemon wrote down; None if it wrote nothing readable."""
        record = folder.load()
        if record is None or record.spec.bunker_id != folder.path.name:
            return None
        return self._add(record)

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

    def _add(self, record: MachineRecord) -> Machine:
        machine = Machine(record, self._host, self._changed)
        self._machines[machine.id] = machine
        machine.start()
        return machine

    def _free_uid(self) -> int:
        taken = {machine.uid for machine in self._machines.values()}
        # Another daemon's machines on the same host count from another place.
        uid = self._uid_base
        while uid in taken:
            uid += 1
        return uid
