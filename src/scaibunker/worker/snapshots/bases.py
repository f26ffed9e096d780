"""What this worker knows of the snapshot that a machine's next one may hold the differences to.

A file beside the machine's disk: who the base is, and what blocks its disk has. It is made of what has been
copied, not of what happens to the machine since: the digests alone say what differs.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from scaibunker.wire.worker.snapshots import MAX_CHAIN, Sha256, SnapshotBase
from scaibunker.worker.disks.digests import map_length

MAX_DISK_MB = 256 * 1024
"""MiB of a disk at most whose blocks are remembered: 64 MiB of digests."""
MIB = 1024 * 1024


class _Head(BaseModel):
    """The file's first line; `digests_sha256` is of what follows."""

    base: SnapshotBase
    depth: Annotated[int, Field(ge=0)]
    whole_bytes: Annotated[int, Field(ge=0)] = 0
    above_bytes: Annotated[int, Field(ge=0)] = 0
    digests_sha256: Sha256


@dataclass(frozen=True)
class KnownBase:
    """`depth` snapshots are below it; `digests` is its disk's map. `whole_bytes` are stored of the disk at the
    chain's end, 0 if nobody has counted, and `above_bytes` of all that differs from it."""

    base: SnapshotBase
    depth: int
    digests: bytes
    whole_bytes: int = 0
    above_bytes: int = 0

    @property
    def is_long(self) -> bool:
        """Whether the next one had better be whole: the chain has become too long, or too heavy."""
        is_heavy = 0 < self.whole_bytes < self.above_bytes
        return self.depth >= MAX_CHAIN or is_heavy


def remembered(disk_mb: int) -> bool:
    """Whether the blocks of such a disk are worth it."""
    return disk_mb <= MAX_DISK_MB


def digests_size(disk_mb: int) -> int:
    """Bytes of the map."""
    return map_length(disk_mb * MIB)


def write(path: Path, known: KnownBase) -> None:
    """Raises OSError."""
    head = _Head(
        base=known.base,
        depth=known.depth,
        whole_bytes=known.whole_bytes,
        above_bytes=known.above_bytes,
        digests_sha256=hashlib.sha256(known.digests).hexdigest(),
    )
    with path.open("wb") as file:
        path.chmod(0o600)
        file.write(head.model_dump_json().encode() + b"\n")
        file.write(known.digests)


def read(path: Path) -> KnownBase | None:
    """None if there is none, or it is not whole: after a power cut it need not be."""
    try:
        first, _, digests = path.read_bytes().partition(b"\n")
        head = _Head.model_validate_json(first)
    except (OSError, ValidationError):
        return None
    if hashlib.sha256(digests).hexdigest() != head.digests_sha256:
        return None
    return KnownBase(head.base, head.depth, digests, head.whole_bytes, head.above_bytes)
