"""Snapshots as callers make them, and what tests look at."""

import hashlib
from pathlib import Path
from typing import Any

from scaibunker.wire.worker.snapshots import (
    DISK_PART,
    MANIFEST_NAME,
    SnapshotManifest,
    SnapshotPhase,
)
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack
from tests.waiting import until


async def take(stack: Stack, bunker: str, who: str = "user", **body: Any) -> dict[str, Any]:
    """The record of a new snapshot."""
    path, fields = f"/bunkers/{bunker}/snapshot", {"kind": "disk", **body}
    response = await stack.call("POST", path, who, json=fields)
    assert response.status_code == 202, response.text
    made: dict[str, Any] = response.json()["data"]
    return made


async def until_in(
    stack: Stack, worker: SimulatedWorker, bunker: str, phase: SnapshotPhase, **body: Any
) -> str:
    """Have a snapshot made that gets so far and no further; its id, once it is there."""
    worker.snapshots.goes_to = phase
    made = await take(stack, bunker, **body)
    await until_snapshot(stack, made["id"], phase=phase.value)
    return str(made["id"])


async def until_snapshot(stack: Stack, snapshot_id: str, **wanted: Any) -> dict[str, Any]:
    """The record once its fields are so."""
    record: dict[str, Any] = {}

    async def reached() -> bool:
        record.update(await stack.data_of("GET", f"/snapshots/{snapshot_id}"))
        return all(record[name] == value for name, value in wanted.items())

    await until(reached, what=lambda: f"{snapshot_id} to be {wanted}; it is {record}")
    return record


def objects_of(stack: Stack, snapshot_id: str) -> set[str]:
    """What is stored of a snapshot."""
    folder = stack.data / "objects/scaibunker/snapshots" / snapshot_id
    return {path.name for path in folder.glob("*")} if folder.is_dir() else set()


def chains_hold(root: Path) -> None:
    """What any stored snapshot rests upon is stored, as it was."""
    for path in root.glob(f"*/{MANIFEST_NAME}"):
        base = SnapshotManifest.model_validate_json(path.read_bytes()).base
        if base is not None:
            below = root / base.snapshot_id
            found = hashlib.sha256((below / MANIFEST_NAME).read_bytes()).hexdigest()
            assert found == base.manifest_sha256, (path.parent.name, base)
            assert (below / DISK_PART).is_file(), (path.parent.name, base)


async def states_of(stack: Stack, bunker: str) -> list[str]:
    """What a bunker has been, from the first on; it must have ended."""
    response = await stack.call("GET", f"/bunkers/{bunker}/events")
    found = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
    return [part.split('"status":"')[1].split('"')[0] for part in found]
