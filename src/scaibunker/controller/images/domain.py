"""An image's record."""

from dataclasses import dataclass
from datetime import datetime

from scaibunker.wire.api.images import ImageStatus

PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Image:
    """An image: an ext4 file named by the SHA-256 of its content. `tenant_id` is None for an image
    of the platform, which every tenant may use. Defaults in thousandths of a core and MiB."""

    id: str
    name: str
    version: str
    scope: str
    tenant_id: str | None
    status: ImageStatus
    sha256: str | None
    size_bytes: int | None
    default_cpu_millicores: int | None
    default_memory_mb: int | None
    default_disk_mb: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SeedImage:
    """An image that comes with the installation, to be registered for the whole platform."""

    name: str
    version: str
    sha256: str
    size_bytes: int
    default_cpu_millicores: int | None = None
    default_memory_mb: int | None = None
    default_disk_mb: int | None = None
