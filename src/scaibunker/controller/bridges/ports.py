"""What a new bunker takes of its tenant's bridges: one interface of each that it names.

`resolve` answers before anything is held; `assign` and `plug` are parts of the transaction that makes the bunker,
and hold the bridges' rows: none is deleted, and no address given out twice, meanwhile.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scaibunker.controller.bridges import macs, repository
from scaibunker.controller.bridges.domain import Bridge
from scaibunker.controller.bridges.errors import BridgeNotFound
from scaibunker.controller.bunkers.domain import Network
from scaibunker.controller.scheduler.errors import NoSuitableWorker, WorkerUnavailable
from scaibunker.wire.api.bridges import BridgeStatus
from scaibunker.wire.worker.bridges import MAX_PORTS
from scaigrid.db import Reader, Writer
from scaigrid.errors import ValidationFailed, detail
from scaigrid.operation import Operation

Entry = Mapping[str, Any]


async def resolve(op: Operation, db: Reader, network: Network) -> Network:
    """The network with the bridges that its interfaces name, all of the caller's own tenant however far it
    reaches. Raises BridgeNotFound, NoSuitableWorker."""
    wanted = network.interfaces
    if not wanted:
        return network
    names = {entry["bridge_name"] for entry in wanted}
    known = await repository.by_names(op, db, op.user.tenant_id, names)
    found = [_found(known, index, entry) for index, entry in enumerate(wanted)]
    if len({bridge.worker_id for bridge in found}) > 1:
        faults = [
            detail(f"interfaces.{index}.bridge_name", f"{bridge.name} is on {bridge.worker_id}")
            for index, bridge in enumerate(found)
        ]
        raise NoSuitableWorker("No worker has all the bridges.", details=faults)
    resolved = [
        {**entry, "bridge_id": bridge.id, "worker_id": bridge.worker_id}
        for entry, bridge in zip(wanted, found, strict=True)
    ]
    return replace(network, interfaces=resolved)


def _found(known: Mapping[str, Bridge], index: int, entry: Entry) -> Bridge:
    name, field = entry["bridge_name"], f"interfaces.{index}.bridge_name"
    bridge = known.get(name)
    if bridge is None or bridge.status in (BridgeStatus.CREATING, BridgeStatus.DELETING):
        raise BridgeNotFound.named(field, name)
    if bridge.status is BridgeStatus.FAILED:
        message = f"the bridge {name} has failed: {bridge.status_reason}"
        raise NoSuitableWorker(
            f"{message[0].upper()}{message[1:]}.", details=[detail(field, message)]
        )
    return bridge


async def assign(op: Operation, db: Writer, bunker_id: str, network: Network) -> Network:
    """Hold the bridges of a network that was resolved, and give each interface its address. Raises
    BridgeNotFound, WorkerUnavailable, ValidationFailed."""
    wanted = network.interfaces
    if not wanted:
        return network
    ids = {entry["bridge_id"] for entry in wanted}
    there = await repository.hold(op, db, op.user.tenant_id, ids)
    for index, entry in enumerate(wanted):
        if entry["bridge_id"] not in there:  # deleted since it was looked at
            raise BridgeNotFound.named(f"interfaces.{index}.bridge_name", entry["bridge_name"])
    taken = await repository.taken(op, db, ids)
    _check_room(wanted, Counter(bridge_id for bridge_id, _ in taken))
    return replace(network, interfaces=_addressed(bunker_id, wanted, set(taken)))


def _check_room(wanted: Sequence[Entry], plugged: Counter[str]) -> None:
    for index, entry in enumerate(wanted):
        plugged[entry["bridge_id"]] += 1
        if plugged[entry["bridge_id"]] > MAX_PORTS:
            message = f"the bridge {entry['bridge_name']} has no more than {MAX_PORTS} interfaces"
            fault = detail(f"interfaces.{index}.bridge_name", message, cap=MAX_PORTS)
            raise WorkerUnavailable(f"{message[0].upper()}{message[1:]}.", details=[fault])


def _addressed(
    bunker_id: str, wanted: Sequence[Entry], taken: set[tuple[str, str]]
) -> list[dict[str, Any]]:
    own = {entry["mac"] for entry in wanted if entry["mac"] is not None}
    addressed = []
    for index, entry in enumerate(wanted):
        bridge_id, mac = entry["bridge_id"], entry["mac"]
        if mac is None:
            attempt = 0
            mac = macs.derived(bunker_id, entry["if_name"])
            while (bridge_id, mac) in taken or mac in own:
                attempt += 1
                mac = macs.derived(bunker_id, entry["if_name"], attempt)
            own.add(mac)
        elif (bridge_id, mac) in taken:
            raise ValidationFailed.of(
                f"interfaces.{index}.mac", f"{mac} is taken on the bridge {entry['bridge_name']}"
            )
        addressed.append({**entry, "mac": mac})
    return addressed


async def plug(op: Operation, db: Writer, bunker_id: str, network: Network) -> None:
    """Store what a bunker was given. Its own row is there."""
    entries = network.interfaces
    if entries:
        given = [(entry["if_name"], entry["bridge_id"], entry["mac"]) for entry in entries]
        await repository.plug(op, db, bunker_id, given)
