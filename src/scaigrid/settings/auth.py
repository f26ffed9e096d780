"""Credentials."""

import re
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from scaigrid.settings.base import Section

_KEY = re.compile(r"sgk_[A-Za-z0-9_-]{43,128}", re.ASCII)


class AuthSettings(Section):
    """How callers are recognised."""

    model_config = SettingsConfigDict(env_prefix="SCAIGRID_AUTH_")

    cache_ttl_s: Annotated[float, Field(ge=0, le=60)] = 5
    """How long a recognised API key is remembered, in seconds. Revoking it, and any change of what
    its user may do, ends that at once; within this time in a process that Redis does not reach."""

    first_key: SecretStr | None = None
    """An API key of the operator's making, `sgk_` and at least 43 letters, digits, `-` and `_` that
    nobody can guess. Where there is no super-admin yet, `SCAIGRID_MODE=migrate` makes one (`admin` in
    the tenant `platform`) who has this key; later it means nothing."""

    @field_validator("first_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _KEY.fullmatch(value.get_secret_value()):
            raise ValueError("must be sgk_ and 43 to 128 letters, digits, - or _")
        return value

    cache_size: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """API keys that are remembered at most."""
