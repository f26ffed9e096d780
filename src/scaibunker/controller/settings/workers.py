"""How the controller deals with workers."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
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

    scheduler_strategy: Literal["spread", "pack"] = "spread"
    """Which of the workers that could take a bunker gets it: the emptiest or the fullest."""

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

    @property
    def offline_after_s(self) -> float:
        """Seconds of silence after which a worker counts as offline."""
        return 3 * self.worker_heartbeat_interval_s
