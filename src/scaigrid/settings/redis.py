"""Redis."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from scaigrid.settings.base import Section

_SCHEMES = ("redis://", "rediss://", "unix://")


class RedisSettings(Section):
    """The store of what may be lost: rate limits, hints between replicas, the task queue."""

    model_config = SettingsConfigDict(env_prefix="SCAIGRID_REDIS_")

    url: str = Field(repr=False)
    """Where Redis is: `redis://:password@host:6379/0`, `rediss://` for TLS, or `unix://` and the
    path of its socket. Required."""

    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$")] = ""
    """What every key of ours begins with, before a colon, so that installations can share a Redis."""

    timeout_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    """How long Redis may take to answer, in seconds, before the request goes on without it."""

    pool_size: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Connections at most."""

    def key(self, *parts: str) -> str:
        """The name of a key of ours."""
        return ":".join((self.prefix, *parts) if self.prefix else parts)

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if not value.startswith(_SCHEMES):
            raise ValueError(f"it must begin with one of {', '.join(_SCHEMES)}")
        return value
