"""Where and how the HTTP server listens."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from scaigrid.settings.base import Section


class HttpSettings(Section):
    """The HTTP server."""

    model_config = SettingsConfigDict(env_prefix="SCAIGRID_HTTP_")

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """TCP port to listen on; 0 takes a free one."""

    tls_certificate: Path | None = None
    """PEM file with the server's certificate and those between it and its CA. With it the server speaks
    https alone; read at start."""

    tls_key: Path | None = Field(default=None, validate_default=True)
    """PEM file with the key of `SCAIGRID_HTTP_TLS_CERTIFICATE`, unencrypted."""

    json_limit_bytes: Annotated[int, Field(ge=65_536, le=1 << 30)] = 2 * 1024 * 1024
    """Largest JSON body of an operation that has no limit of its own, in bytes."""

    body_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60
    """How long a JSON body may take to arrive, in seconds."""

    head_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 20
    """How long the head of a request (the request line and headers, 64 KiB at most) may take to
    arrive, in seconds; of the first one, from the connection on."""

    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Connections at a time; never so many that the process runs out of files (`ulimit -n`). One more
    is closed at once."""

    stop_timeout_s: Annotated[int, Field(ge=0, le=600)] = 3
    """How long requests may go on after SIGTERM, in seconds; streams are ended at once."""

    metrics_token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """What `/metrics` asks for as a bearer token, at least 16 characters. Without it the route is
    open to everybody who reaches the server: it tells how busy the installation is, and names
    nobody."""

    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses and networks of the proxies in front, with commas between them. What they say of
    the client's address (`X-Forwarded-For`) is believed; nobody else is."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe log line that is written."""

    @field_validator("tls_key")
    @classmethod
    def _belongs_to_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) is not (info.data.get("tls_certificate") is None):
            raise ValueError("it and SCAIGRID_HTTP_TLS_CERTIFICATE are set together")
        return value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, each in enumerate(value, 1):
            try:
                ip_network(each)
            except ValueError:
                raise ValueError(f"entry {number} is no address or network") from None
        return value
