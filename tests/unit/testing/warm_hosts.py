"""Simulated hosts that keep machines ready, and what there is of those."""

from collections.abc import Callable
from pathlib import Path

from scaibunker.testing.host import SimulatedHost
from scaibunker.wire.worker.machines import MachineState, MachineStatus
from tests.unit.testing.ear import Ear

MakeHost = Callable[..., SimulatedHost]


def templates(folder: Path) -> list[str]:
    """Those that are whole, and what is being made of others."""
    return sorted(p.name for p in (folder / "warm/templates/ready").glob("*"))


def manifests(folder: Path) -> list[str]:
    return [p.read_text() for p in (folder / "warm/templates/ready").glob("[!.]*/manifest.json")]


def slots(host: SimulatedHost) -> list[str]:
    """Prepared machines, and those that were made of one."""
    return [name for name in host.machines if name.startswith("slot_")]


async def created(ear: Ear, host: SimulatedHost, bunker_id: str, **fields: object) -> MachineStatus:
    assert await ear.order(host, bunker_id, **fields) == 202
    return await ear.until_said(bunker_id, MachineState.RUNNING)


def all_stand(host: SimulatedHost) -> bool:
    return all(not host.machines[name].guest.thawed.is_set() for name in slots(host))
