"""Images. Source: the product contract, §7."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel


class ImageStatus(StrEnum):
    """Where an image is on its way from a source to a bootable file."""

    PENDING = "pending"
    BAKING = "baking"
    READY = "ready"
    FAILED = "failed"
    INACTIVE = "inactive"


class Image(BaseModel):
    """An image's record. `size_bytes` is the ext4 file's; `sha256` names its content."""

    id: str
    name: str
    version: str | None
    scope: str
    tenant_id: str | None
    status: ImageStatus
    sha256: str | None
    size_bytes: int | None
    default_cpu_millicores: int | None
    default_memory_mb: int | None
    default_disk_mb: int | None
    created_at: datetime
