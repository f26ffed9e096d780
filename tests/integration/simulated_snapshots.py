"""The snapshots that a simulated worker makes. How far each gets by itself is the test's to say."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from scaibunker.wire.worker.machines import MachineSpec
from scaibunker.wire.worker.snapshots import (
    DISK_PART,
    MANIFEST_NAME,
    MAX_CHAIN,
    SnapshotBase,
    SnapshotManifest,
    SnapshotPart,
    SnapshotPhase,
    SnapshotRequest,
    SnapshotStatus,
)
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.snapshots.store import SnapshotStore

CONTENT = b"what was on the disk"


class SimulatedSnapshots:
    """`goes_to` is the phase that each new one comes to by itself; `advance` has it go on. `fault` is
    why each fails. `store` is where they are kept. What was forgotten is in `forgotten`; what
    each was offered as a base, and uses if it `uses_bases`, in `bases`."""

    def __init__(self) -> None:
        self.store: SnapshotStore | None = None
        self.goes_to = SnapshotPhase.STORED
        self.fault: str | None = None
        self.known: dict[str, SnapshotStatus] = {}
        self.orders: list[str] = []
        self.forgotten: list[str] = []
        self.uses_bases = True
        self.bases: dict[str, SnapshotBase | None] = {}
        self._specs: dict[str, MachineSpec] = {}
        self._depths: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def order(self, spec: MachineSpec, wanted: SnapshotRequest) -> SnapshotStatus:
        """Begin one, or find it begun."""
        self.orders.append(wanted.snapshot_id)
        if wanted.snapshot_id not in self.known:
            self._specs[wanted.snapshot_id] = spec
            self.bases[wanted.snapshot_id] = wanted.base
            self.known[wanted.snapshot_id] = SnapshotStatus(
                snapshot_id=wanted.snapshot_id,
                bunker_id=spec.bunker_id,
                kind=wanted.kind,
                phase=SnapshotPhase.CAPTURING,
                total_bytes=100,
            )
            self._start(self.advance(wanted.snapshot_id, self.goes_to))
        return self.known[wanted.snapshot_id]

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def advance(self, snapshot_id: str, phase: SnapshotPhase) -> None:
        """Have one come to a phase."""
        status = self.known[snapshot_id]
        if self.fault is not None:
            self.fail(snapshot_id, self.fault)
            return
        if phase is SnapshotPhase.STORED:
            await self._keep(status)
        status.phase = phase

    def fail(self, snapshot_id: str, reason: str) -> None:
        """Have one fail."""
        status = self.known[snapshot_id]
        status.phase, status.reason = SnapshotPhase.FAILED, reason

    async def _keep(self, status: SnapshotStatus) -> None:
        content = CONTENT + status.snapshot_id.encode()
        spec = self._specs[status.snapshot_id]
        digest = hashlib.sha256(content).hexdigest()
        part = SnapshotPart(sha256=digest, size=len(content), unpacked_size=len(content))
        base = self.bases[status.snapshot_id] if self.uses_bases else None
        depth = 0 if base is None else self._depths.get(base.snapshot_id, 0) + 1
        if depth > MAX_CHAIN:
            base, depth = None, 0
        self._depths[status.snapshot_id] = depth
        manifest = SnapshotManifest(
            version=1 if base is None else 2,
            base=base,
            snapshot_id=status.snapshot_id,
            bunker_id=status.bunker_id,
            tenant_id=spec.tenant_id,
            kind=status.kind,
            created_unix_s=0,
            worker_version="0-sim",
            guest_protocol=1,
            image_sha256=spec.image_sha256,
            image_size=spec.image_size,
            vcpus=1,
            memory_mb=spec.memory_mb,
            disk_mb=spec.disk_mb,
            parts={DISK_PART: part},
        )
        text = manifest.model_dump_json().encode()
        try:
            await self.put(status.snapshot_id, DISK_PART, content)
            await self.put(status.snapshot_id, MANIFEST_NAME, text)
        except WorkerFault as fault:
            self.fail(status.snapshot_id, fault.message)
            raise
        status.base_snapshot_id = base.snapshot_id if base else None
        status.size_bytes = len(content) + len(text)
        status.manifest_sha256 = hashlib.sha256(text).hexdigest()

    async def put(self, snapshot_id: str, name: str, content: bytes) -> None:
        """Store one part."""
        assert self.store is not None

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        sha256 = hashlib.sha256(content).hexdigest()
        await self.store.put(f"{snapshot_id}/{name}", chunks(), size=len(content), sha256=sha256)

    def forget(self, snapshot_id: str) -> None:
        """As if there had been none."""
        self.forgotten.append(snapshot_id)
        self.known.pop(snapshot_id, None)

    async def stop(self) -> None:
        """With its worker: whatever was under way is lost."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.known.clear()
