"""The platform's maxima."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from scaigrid.settings import Section


class LimitSettings(Section):
    """How large one bunker may be, whatever quotas say."""

    model_config = SettingsConfigDict(env_prefix="SCAIBUNKER_")

    platform_max_cpu_millicores: Annotated[int, Field(ge=100)] = 32_000
    """Most CPU of one bunker, in thousandths of a core."""

    platform_max_memory_mb: Annotated[int, Field(ge=64)] = 131_072
    """Most memory of one bunker, in MiB."""

    platform_max_disk_mb: Annotated[int, Field(ge=64)] = 1_048_576
    """Largest disk of one bunker, in MiB."""

    platform_max_gpu_count: Annotated[int, Field(ge=0)] = 16
    """Most GPUs of one bunker."""
