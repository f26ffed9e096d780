"""The bridges of this host: what the daemon knows of them, and what is done to them, one thing at a time for each.

What is written down of a bridge decides: at the daemon's start it is made where it is missing, and a namespace of a
bridge of which nothing is written down is removed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

import structlog

from scaibunker.wire.codes import Code
from scaibunker.wire.worker.bridges import MAX_BRIDGES, MAX_PORTS, BridgeSpec, BridgeState
from scaibunker.worker.errors import BridgeInUse, BridgeNotFound, WorkerFault
from scaibunker.worker.network import netns
from scaibunker.worker.network.bridges import layout
from scaibunker.worker.network.bridges.names import namespace_of, namespace_prefix
from scaibunker.worker.network.bridges.records import Records
from scaibunker.worker.network.naming import Names
from scaibunker.worker.threads import in_thread

log = structlog.get_logger(__name__)

T = TypeVar("T")


class HostBridges:
    """A `Bridges`."""

    def __init__(self, records: Records, names: Names) -> None:
        self._records = records
        self._names = names
        self._specs: dict[str, BridgeSpec] = {}
        self._ports: dict[str, set[str]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self) -> None:
        """What an earlier daemon has left: call it before anything else. A bridge that cannot be made again is left
        out, and logged: the controller, which does not hear of it, orders it anew."""
        known = await _aside(self._records.read)
        wanted = {namespace_of(self._names, bridge_id) for bridge_id in known}
        for name in netns.names():
            if name.startswith(namespace_prefix(self._names)) and name not in wanted:
                log.warning("bridge_without_record", namespace=name)
                await _aside(partial(netns.remove, name))
        for bridge_id, spec in known.items():
            try:
                await self._build(spec)
            except WorkerFault as fault:
                log.error("bridge_not_found_again", bridge_id=bridge_id, error=fault.message)

    async def make(self, spec: BridgeSpec) -> BridgeState:
        async with self._turn(spec.bridge_id):
            known = self._specs.get(spec.bridge_id)
            if known is not None and known != spec:
                raise WorkerFault("a bridge of that id is something else", Code.NAME_CONFLICT)
            if known is None and len(self._specs) >= MAX_BRIDGES:
                message = f"this worker has {len(self._specs)} bridges, and takes no more"
                raise WorkerFault(message, Code.WORKER_UNAVAILABLE)
            if known is not None:
                await self._build(spec)
            else:
                await self._make(spec)
            return self.get(spec.bridge_id)

    async def _make(self, spec: BridgeSpec) -> None:
        """A new one. Nothing is left of it if it cannot be made."""
        with _or_fault("cannot write a bridge down"):
            await _aside(lambda: self._records.write(spec))
        try:
            await self._build(spec)
        except BaseException:
            with contextlib.suppress(WorkerFault):  # the next daemon finds what is left
                await self._take_away(spec.bridge_id)
            raise

    async def remove(self, bridge_id: str) -> None:
        async with self._turn(bridge_id):
            if self._ports.get(bridge_id):
                raise BridgeInUse(f"machines are plugged into the bridge {bridge_id}")
            self._specs.pop(bridge_id, None)
            self._ports.pop(bridge_id, None)
            await self._take_away(bridge_id)

    async def _take_away(self, bridge_id: str) -> None:
        """The namespace first: what is written down says that there may be one."""
        with _or_fault("cannot take a bridge down"):
            await _aside(lambda: netns.remove(namespace_of(self._names, bridge_id)))
            await _aside(lambda: self._records.remove(bridge_id))

    def get(self, bridge_id: str) -> BridgeState:
        spec = self._specs.get(bridge_id)
        if spec is None:
            raise BridgeNotFound(f"this worker has no bridge {bridge_id}")
        return BridgeState(**spec.model_dump(), ports=len(self._ports.get(bridge_id, ())))

    def all(self) -> Sequence[BridgeState]:
        return [self.get(bridge_id) for bridge_id in sorted(self._specs)]

    async def put_away(self) -> None:
        for bridge_id in list(self._specs):
            async with self._turn(bridge_id):
                if self._ports.get(bridge_id):
                    continue  # a machine could not be taken down
                try:
                    await _aside(partial(netns.remove, namespace_of(self._names, bridge_id)))
                except OSError as error:
                    log.warning("bridge_left", bridge_id=bridge_id, error=repr(error))

    def ports(self) -> dict[str, set[str]]:
        """What is plugged in, by the bridge's id."""
        return {bridge_id: set(ports) for bridge_id, ports in self._ports.items()}

    @contextlib.asynccontextmanager
    async def held(self, bridge_id: str) -> AsyncIterator[str]:
        """Its namespace; it is not taken down meanwhile. Raises BridgeNotFound."""
        async with self._turn(bridge_id):
            if bridge_id not in self._specs:
                raise BridgeNotFound(f"this worker has no bridge {bridge_id}")
            yield namespace_of(self._names, bridge_id)

    def belongs_to(self, bridge_id: str, tenant_id: str) -> bool:
        """Whether there is one of that tenant."""
        spec = self._specs.get(bridge_id)
        return spec is not None and spec.tenant_id == tenant_id

    def plugged(self, bridge_id: str, port: str) -> None:
        """A port is about to be made. Only while the bridge is held. Raises WorkerFault if there is no room."""
        ports = self._ports.setdefault(bridge_id, set())
        if port not in ports and len(ports) >= MAX_PORTS:
            message = f"the bridge {bridge_id} has {len(ports)} interfaces, and takes no more"
            raise WorkerFault(message, Code.WORKER_UNAVAILABLE)
        ports.add(port)

    def unplugged(self, bridge_id: str, port: str) -> None:
        """Nothing is left of it. Only while the bridge is held."""
        self._ports.get(bridge_id, set()).discard(port)

    def _turn(self, bridge_id: str) -> asyncio.Lock:
        """It is forgotten when nobody has it, or waits for it."""
        return self._turns.setdefault(bridge_id, asyncio.Lock())

    async def _build(self, spec: BridgeSpec) -> None:
        """Make it where it is missing; then it counts as there."""
        name = namespace_of(self._names, spec.bridge_id)
        with _or_fault("cannot make a bridge"):
            if name not in netns.names():
                await _aside(lambda: netns.create(name))
            try:
                await netns.inside(name, layout.stands)
            except WorkerFault:  # the name of one that is no more: the host has been started anew
                await _aside(lambda: netns.remove(name))
                await _aside(lambda: netns.create(name))
            found = await netns.inside(name, _built)
        self._specs[spec.bridge_id] = spec
        self._ports[spec.bridge_id] = found


def _built() -> set[str]:
    layout.build()
    return set(layout.ports())


async def _aside(work: Callable[[], T]) -> T:
    return await in_thread(lambda _stop: work())


@contextlib.contextmanager
def _or_fault(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WorkerFault(f"{what}: {error.strerror or error}") from error
