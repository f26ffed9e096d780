"""Tokens of an identity provider."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from scaigrid.settings.base import Section

Text = Annotated[str, Field(min_length=1, max_length=1024)]


class JwtSettings(Section):
    """Tokens of an identity provider (JWT, RS256)."""

    model_config = SettingsConfigDict(env_prefix="SCAIGRID_JWT_")

    jwks_url: str | None = Field(default=None, repr=False)
    """Where the provider's public keys are, as a JSON Web Key Set: `https://`, `http://` (on a
    network that nobody else can write to) or `file:///` and an absolute path. Every such token is
    refused unless it is set. A redirect is not followed."""

    issuer: Text | None = None
    """What `iss` of a token must be. Set it if the keys sign for more than one issuer."""

    audience: Text | None = None
    """What `aud` of a token must be, or have among others. Set it if the provider serves anything
    else: without it, a token made for another service is good here too."""

    leeway_s: Annotated[float, Field(ge=0, le=300)] = 30
    """How far the provider's clock may be from ours, in seconds: for `exp`, `nbf` and `iat`."""

    refresh_s: Annotated[float, Field(ge=1, le=86_400)] = 300
    """How often the keys are read again, in seconds. A key that is gone from the set is refused
    from then on; a new one is asked for as soon as a token names it."""

    stale_s: Annotated[float, Field(ge=1, le=604_800)] = Field(default=3600, validate_default=True)
    """How long keys are used after they were last read, in seconds, while the set cannot be read.
    Longer than `SCAIGRID_JWT_REFRESH_S`."""

    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5
    """How long reading the keys may take, in seconds."""

    @field_validator("jwks_url")
    @classmethod
    def _is_place(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)  # its ValueError is a fault of the setting as well
        if parts.scheme in {"http", "https"}:
            if not parts.hostname:
                raise ValueError("it must name a host")
        elif parts.scheme != "file":
            raise ValueError("it must begin with https://, http:// or file:///")
        elif parts.netloc or not parts.path.startswith("/"):
            raise ValueError("the path must be absolute (three slashes in all)")
        return value

    @field_validator("stale_s")
    @classmethod
    def _outlasts_refresh(cls, value: float, info: ValidationInfo) -> float:
        if value <= info.data.get("refresh_s", 0):
            raise ValueError("it must be longer than SCAIGRID_JWT_REFRESH_S")
        return value
