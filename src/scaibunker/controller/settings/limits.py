"""The platform's maxima."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from scaigrid.settings import Section


class LimitSettings(Section):
    """How much there may be of anything, whatever quota profiles say."""

    model_config = SettingsConfigDict(env_prefix="SCAIBUNKER_")

    platform_max_concurrent_bunkers: Annotated[int, Field(ge=0)] | None = None
    """Bunkers that one user may have at a time, whatever quota profiles say; null is no such bound."""

    platform_max_persistent_bunkers: Annotated[int, Field(ge=0)] | None = None
    """Persistent bunkers that one user may have, whatever quota profiles say; null is no such bound."""

    platform_max_cpu_millicores: Annotated[int, Field(ge=100)] = 32_000
    """Most CPU of one bunker, in thousandths of a core."""

    platform_max_memory_mb: Annotated[int, Field(ge=64)] = 131_072
    """Most memory of one bunker, in MiB."""

    platform_max_disk_mb: Annotated[int, Field(ge=64)] = 1_048_576
    """Largest disk of one bunker, in MiB."""

    platform_max_gpu_count: Annotated[int, Field(ge=0)] = 16
    """Most GPUs of one bunker."""
