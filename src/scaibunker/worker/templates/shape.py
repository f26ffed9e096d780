"""What a template is of, and when it has to be made anew."""

import asyncio
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from scaibunker.wire.guest import PROTOCOL_VERSION
from scaibunker.wire.worker.templates import NicKind

FORMAT = 1
"""Raised when templates of an earlier release are of no use any more."""


@dataclass(frozen=True, slots=True)
class Shape:
    """An image, and the hardware that it was booted on; `image_size` in bytes, `memory_mb` in MiB, `nic` the kind of
    network device. The disk's size is not part of it."""

    image_sha256: str
    image_size: int
    vcpus: int
    memory_mb: int
    nic: NicKind = "none"


class Basis:
    """What all templates of this worker rest on: kernel, agent, VMM. A template of another basis is stale."""

    def __init__(self, kernel: Path, initramfs: Path, state_format: str) -> None:
        self._files = (kernel, initramfs)
        self._state_format = state_format
        self._stamps: list[tuple[int, ...]] = []
        self._digest = ""

    async def digest(self) -> str:
        """Its name. The files are read again when they have changed. Raises OSError."""
        stamps = [_stamp(path) for path in self._files]
        if stamps != self._stamps:
            digests = [await asyncio.to_thread(_sha256, path) for path in self._files]
            parts = [FORMAT, PROTOCOL_VERSION, self._state_format, *digests]
            self._digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
            self._stamps = stamps
        return self._digest


def key(basis: str, shape: Shape) -> str:
    """The name of the one template of that shape."""
    text = json.dumps([basis, asdict(shape)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _stamp(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
