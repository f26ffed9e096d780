"""Credentials."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from scaigrid.settings.base import Section


class AuthSettings(Section):
    """How callers are recognised."""

    model_config = SettingsConfigDict(env_prefix="SCAIGRID_AUTH_")

    cache_ttl_s: Annotated[float, Field(ge=0, le=60)] = 5
    """How long a recognised API key is remembered, in seconds. Revoking it, and any change of what
    its user may do, ends that at once; within this time in a process that Redis does not reach."""

    cache_size: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """API keys that are remembered at most."""
