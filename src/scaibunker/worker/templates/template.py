"""One template: its folder on the host's disk, what the folder's manifest says, and its memory while it is used.

The memory's file is packed: its extents one after the other, without what was never written to.
"""

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from scaibunker.wire.worker.templates import NicKind
from scaibunker.worker.disks.copy import extents
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.templates.memory import new_memory, seal, taken_mb
from scaibunker.worker.templates.shape import Shape
from scaibunker.worker.threads import check

MANIFEST, MEMORY, DEVICES, DISK = "manifest.json", "memory", "devices", "disk"
PARTS = (MEMORY, DEVICES, DISK)
_CHUNK, _BLOCK = 1024 * 1024, 4096


class Manifest(BaseModel):
    """`disk_mb` is the size of its disk, which those of machines that are made of it have at least. `macs` are those of its network devices. `memory_extents` are offset and length of what `memory` holds, `sha256` the digests of the files. `token_hex`
    opens the guest channel of a copy until it has a token of its own."""

    version: Literal[1] = 1
    basis: str
    image_sha256: str
    image_size: int
    vcpus: int
    memory_mb: int
    nic: NicKind = "none"
    macs: list[str] = Field(default_factory=list)
    disk_mb: int
    token_hex: Annotated[str, Field(repr=False)]
    memory_extents: list[tuple[int, int]] = Field(default_factory=list)
    sha256: dict[str, str] = Field(default_factory=dict)

    @property
    def shape(self) -> Shape:
        return Shape(self.image_sha256, self.image_size, self.vcpus, self.memory_mb, self.nic)


class Template:
    """One that is whole. `size` in bytes of disk, `used_at` a time of the host's clock; `users` restore it just now,
    `memory` is its open, sealed file while somebody may need it soon."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.size = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
        self.used_at = folder.stat().st_mtime
        self.users = 0
        self.memory: int | None = None

    @property
    def shape(self) -> Shape:
        return self.manifest.shape

    @property
    def memory_taken_mb(self) -> int:
        """MiB of the host's memory."""
        return 0 if self.memory is None else taken_mb(self.memory)

    def use(self, now: float) -> None:
        """Remember that it was of use; the next daemon knows it from the folder."""
        self.used_at = now
        os.utime(self.folder, (now, now))

    def forget_memory(self) -> None:
        """Machines that are made of it keep it for as long as they live."""
        if self.memory is not None:
            os.close(self.memory)
            self.memory = None


def write(folder: Path, manifest: Manifest, memory: int, stop: threading.Event) -> None:
    """Write memory and manifest beside `devices` and `disk`; all of it is on the disk when this returns. Raises
    OSError, Stopped."""
    found, digest = _pack(memory, folder / MEMORY, stop)
    digests = {MEMORY: digest}
    digests |= {name: _digest(folder / name, stop) for name in (DEVICES, DISK)}
    whole = manifest.model_copy(update={"memory_extents": found, "sha256": digests})
    (folder / MANIFEST).write_text(whole.model_dump_json())
    for path in (*sorted(folder.iterdir()), folder):
        _sync(path)


def read(folder: Path) -> Manifest:
    """What a folder's manifest says. Raises WorkerFault, OSError."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except ValidationError as error:
        raise WorkerFault("the template's manifest makes no sense") from error


def load(folder: Path, manifest: Manifest, stop: threading.Event) -> int:
    """The memory, sealed, after everything has been verified. Raises WorkerFault, OSError, Stopped."""
    for name in (DEVICES, DISK):
        if _digest(folder / name, stop) != manifest.sha256.get(name):
            raise WorkerFault(f"the template's {name} is not what was stored")
    memory = new_memory(manifest.memory_mb)
    try:
        if _unpack(folder / MEMORY, manifest, memory, stop) != manifest.sha256.get(MEMORY):
            raise WorkerFault("the template's memory is not what was stored")
        seal(memory)
    except BaseException:
        os.close(memory)
        raise
    return memory


def _pack(memory: int, target: Path, stop: threading.Event) -> tuple[list[tuple[int, int]], str]:
    digest = hashlib.sha256()
    found = list(extents(memory))
    digest.update(json.dumps(found).encode())
    with target.open("xb") as file:
        target.chmod(0o600)
        for offset, length in found:
            for begin in range(offset, offset + length, _CHUNK):
                check(stop)
                data = os.pread(memory, min(_CHUNK, offset + length - begin), begin)
                digest.update(data)
                file.write(data)
    return found, digest.hexdigest()


def _unpack(source: Path, manifest: Manifest, memory: int, stop: threading.Event) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps(manifest.memory_extents).encode())
    with source.open("rb") as file:
        for offset, length in manifest.memory_extents:
            for begin in range(offset, offset + length, _CHUNK):
                check(stop)
                data = file.read(min(_CHUNK, offset + length - begin))
                digest.update(data)
                os.pwrite(memory, data, begin)
    return digest.hexdigest()


def _digest(path: Path, stop: threading.Event) -> str:
    """Of what is not zero in a file, and where, and its size: a disk is mostly a hole."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        descriptor = file.fileno()
        for offset, length in extents(descriptor):
            for at in range(offset, offset + length, _BLOCK):
                check(stop)
                block = os.pread(descriptor, min(_BLOCK, offset + length - at), at)
                if block.strip(b"\0"):
                    digest.update(at.to_bytes(8, "little") + block)
        digest.update(os.fstat(descriptor).st_size.to_bytes(8, "little"))
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
