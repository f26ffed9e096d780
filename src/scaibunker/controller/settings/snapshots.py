"""How many snapshots there may be, how long they are kept, and how long they may take."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from scaibunker.wire.api.snapshots import MAX_EXPIRES_IN_S
from scaigrid.settings import Section


class SnapshotSettings(Section):
    """Snapshots of bunkers."""

    model_config = SettingsConfigDict(env_prefix="SCAIBUNKER_")

    snapshot_max_per_tenant: Annotated[int, Field(ge=1)] = 1000
    """Snapshots that a tenant may have, those that have failed left out."""

    snapshot_max_unfinished_per_tenant: Annotated[int, Field(ge=1)] = 20
    """Snapshots of a tenant that may be in the making at a time."""

    snapshot_max_lifetime_s: Annotated[int, Field(ge=1, le=MAX_EXPIRES_IN_S)] | None = None
    """How long a snapshot is kept at most, in seconds; one that names no time is kept that long. Null keeps
    those for ever."""

    snapshot_stall_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 1800
    """How long a snapshot may make no progress, in seconds; then it fails. Parts are stored as a whole, so
    that it must be enough for the largest to be uploaded."""
