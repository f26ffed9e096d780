"""How the controller deals with workers."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from scaibunker.wire.worker.tokens import tokens_of
from scaigrid.settings import Section

SHORTEST_TOKEN = 16
"""Characters."""


class WorkerSettings(Section):
    """Workers: credential, heartbeats, time-outs, placement."""

    model_config = SettingsConfigDict(env_prefix="SCAIBUNKER_")

    worker_token: SecretStr
    """Service token that workers and controller show each other; at least 16 characters. Several,
    with commas between them or as a JSON list, let it be replaced without a pause: the first is
    shown to workers, any is accepted from them. Required."""

    worker_heartbeat_interval_s: Annotated[float, Field(ge=0.1, le=300)] = 10
    """How often a worker reports, in seconds. After three missed intervals it is offline."""

    worker_connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5
    """How long a connection to a worker may take to be made, in seconds."""

    worker_request_timeout_s: Annotated[float, Field(gt=0, le=600)] = 60
    """How long a worker may take to answer a request about a machine, in seconds."""

    worker_ca: Path | None = None
    """PEM file with the CAs that the certificates of workers with an https address are verified with;
    without it the system's. The host of the address that a worker advertises is verified too."""

    worker_client_certificate: Path | None = None
    """PEM file with the certificate that the controller shows to workers that ask for one."""

    worker_client_key: Path | None = Field(default=None, validate_default=True)
    """PEM file with the key of `SCAIBUNKER_WORKER_CLIENT_CERTIFICATE`, unencrypted."""

    worker_require_https: bool = False
    """Whether a worker's heartbeat is refused, and nothing asked of it, unless its address is https."""

    worker_never_reached: list[IPv4Network | IPv6Network] = Field(default_factory=list)
    """Addresses and ranges that no bunker may reach, whatever its network profile, beside those that workers and
    controllers have themselves: load balancers, databases, Redis, object storage. Workers are told them."""

    scheduler_strategy: Literal["spread", "pack"] = "spread"
    """Which of the workers that could take a bunker gets it: the emptiest or the fullest."""

    @property
    def never_reached(self) -> tuple[str, ...]:
        """`worker_never_reached` as workers are told it: a single address without a prefix length."""
        return tuple(
            str(each.network_address if each.prefixlen == each.max_prefixlen else each)
            for each in self.worker_never_reached
        )

    @property
    def tokens(self) -> tuple[str, ...]:
        """The service tokens: the first is shown to workers, any is accepted from them."""
        return tokens_of(self.worker_token.get_secret_value())

    @field_validator("worker_token")
    @classmethod
    def _are_tokens(cls, value: SecretStr) -> SecretStr:
        if min(len(token) for token in tokens_of(value.get_secret_value())) < SHORTEST_TOKEN:
            raise ValueError(f"each token must have at least {SHORTEST_TOKEN} characters")
        return value

    @field_validator("worker_client_key")
    @classmethod
    def _belongs_to_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) is not (info.data.get("worker_client_certificate") is None):
            raise ValueError("it and SCAIBUNKER_WORKER_CLIENT_CERTIFICATE are set together")
        return value

    @property
    def offline_after_s(self) -> float:
        """Seconds of silence after which a worker counts as offline."""
        return 3 * self.worker_heartbeat_interval_s
