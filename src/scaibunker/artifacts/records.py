"""What the rest of the product knows of the artifacts: where they are and what they are."""

from dataclasses import dataclass
from pathlib import Path


class ArtifactsError(Exception):
    """An artifact cannot be made; the message says which, why, and what to do."""


class ArtifactsMissing(ArtifactsError):
    """Nothing to boot from has been built yet; the message says what to run."""


@dataclass(frozen=True)
class BootFiles:
    """Kernel and initramfs. `version` changes whenever a byte of either does."""

    kernel: Path
    initramfs: Path
    version: str


@dataclass(frozen=True)
class BaseImage:
    """A bootable root file system: one read-only ext4 file, named by its SHA-256."""

    name: str
    version: str
    path: Path
    sha256: str
    size_bytes: int
    default_cpu_millicores: int
    default_memory_mb: int
    default_disk_mb: int


@dataclass(frozen=True)
class Artifacts:
    """Everything a worker needs to start machines."""

    boot: BootFiles
    images: tuple[BaseImage, ...]
