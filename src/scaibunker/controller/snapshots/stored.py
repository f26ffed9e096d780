"""What of a snapshot lies in object storage: the parts, and the manifest that names them."""

import hashlib
import re
from collections.abc import Sequence

from pydantic import ValidationError

from scaibunker.controller.snapshots.domain import Snapshot
from scaibunker.storage.errors import BrokenObject, NoSuchObject
from scaibunker.storage.keys import BadKey, check_key
from scaibunker.storage.objects import ObjectStore, Page
from scaibunker.wire.worker.snapshots import (
    DISK_PART,
    EXECS_PART,
    MANIFEST_LIMIT,
    MANIFEST_NAME,
    MEMORY_PART,
    SnapshotManifest,
)

ROOT = "scaibunker/snapshots"
MAX_PARTS = 16
"""Objects that a manifest may name."""
_OBJECT = re.compile(rf"{ROOT}/(snp_[A-Za-z0-9]{{1,40}})/.+")


class BadManifest(Exception):
    """What is stored is not the snapshot that its worker speaks of."""


class StoredSnapshots:
    """The objects of snapshots. Raises StoreUnavailable if the store is away."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def check(
        self, snapshot: Snapshot, manifest_sha256: str, chain: Sequence[Snapshot]
    ) -> int:
        """Whether there is a manifest of that SHA-256, it is this snapshot's, and all that it names is there, and
        the disks of what it rests upon, the whole one last. What its worker has of it may be gone a moment later.
        Returns how many bytes are stored. Raises BadManifest."""
        manifest, size = await self._manifest(snapshot, manifest_sha256)
        said = (manifest.snapshot_id, manifest.bunker_id, manifest.tenant_id, manifest.kind)
        if said != (snapshot.id, snapshot.bunker_id, snapshot.tenant_id, snapshot.kind.value):
            raise BadManifest("its manifest is another snapshot's")
        await self._check_chain(manifest, chain)
        if len(manifest.parts) > MAX_PARTS:
            raise BadManifest("its manifest names too many parts")
        for name, part in manifest.parts.items():
            if await self._size(snapshot.id, name) != part.size:
                raise BadManifest(f"its {name} is not in object storage as its manifest says")
            size += part.size
        return size

    async def _check_chain(self, manifest: SnapshotManifest, chain: Sequence[Snapshot]) -> None:
        """Each names the next by its checksum."""
        for snapshot in chain:
            named = manifest.base
            if named is None or (named.snapshot_id, named.manifest_sha256) != (
                snapshot.id,
                snapshot.manifest_sha256,
            ):
                raise BadManifest("its manifest names another base")
            try:
                manifest, _ = await self._manifest(snapshot, named.manifest_sha256)
            except BadManifest as fault:
                raise BadManifest(f"of its base {snapshot.id}: {fault}") from None
            disk = manifest.parts.get(DISK_PART)
            if disk is None or await self._size(snapshot.id, DISK_PART) != disk.size:
                raise BadManifest(f"the disk of its base {snapshot.id} is not in object storage")
        if manifest.base is not None:
            raise BadManifest("its manifest names another base")

    async def _size(self, snapshot_id: str, name: str) -> int | None:
        """Of a part, in bytes; None if it is not there."""
        try:
            return await self._store.size(f"{ROOT}/{snapshot_id}/{check_key(name)}")
        except BadKey:
            raise BadManifest("its manifest makes no sense") from None
        except (NoSuchObject, BrokenObject):
            return None

    async def _manifest(
        self, snapshot: Snapshot, manifest_sha256: str
    ) -> tuple[SnapshotManifest, int]:
        """What is stored as the manifest, and how many bytes it has."""
        key = f"{ROOT}/{snapshot.id}/{MANIFEST_NAME}"
        content = bytearray()
        try:
            body = await self._store.read(key)
            async for chunk in body.chunks:
                content += chunk
                if len(content) > MANIFEST_LIMIT:
                    raise BadManifest("its manifest is too long")
        except (NoSuchObject, BrokenObject):
            raise BadManifest("its manifest is not in object storage") from None
        if hashlib.sha256(content).hexdigest() != manifest_sha256:
            raise BadManifest("its manifest is not the one that its worker has stored")
        try:
            return SnapshotManifest.model_validate_json(content), len(content)
        except ValidationError:
            raise BadManifest("its manifest makes no sense") from None

    async def remove(self, snapshot_id: str) -> None:
        """Delete all that is stored of a snapshot. Idempotent."""
        await self._store.delete_below(f"{ROOT}/{snapshot_id}")

    async def remove_memory(self, snapshot_id: str) -> None:
        """Delete the memory of a snapshot, and what its commands have written: what builds on it needs its disk
        alone. Idempotent."""
        gone = (MEMORY_PART, EXECS_PART)
        await self._store.delete(*(f"{ROOT}/{snapshot_id}/{part}" for part in gone))

    async def page(self, after: str | None) -> Page:
        """Objects of all snapshots whose key comes after `after`, by key."""
        return await self._store.page(ROOT, after)


def owner_of(key: str) -> str | None:
    """The id of the snapshot that an object belongs to; None for one that is in no snapshot's folder."""
    found = _OBJECT.fullmatch(key)
    return found[1] if found else None
