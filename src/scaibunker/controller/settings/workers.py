"""How the controller deals with workers."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from scaigrid.settings import Section


class WorkerSettings(Section):
    """Workers: credential, heartbeats, time-outs, placement."""

    model_config = SettingsConfigDict(env_prefix="SCAIBUNKER_")

    worker_token: Annotated[SecretStr, Field(min_length=16)]
    """Service token that workers and controller show each other; at least 16 characters. Required."""

    worker_heartbeat_interval_s: Annotated[float, Field(ge=0.1, le=300)] = 10
    """How often a worker reports, in seconds. After three missed intervals it is offline."""

    worker_connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5
    """How long a connection to a worker may take to be made, in seconds."""

    worker_request_timeout_s: Annotated[float, Field(gt=0, le=600)] = 60
    """How long a worker may take to answer a request about a machine, in seconds."""

    scheduler_strategy: Literal["spread", "pack"] = "spread"
    """Which of the workers that could take a bunker gets it: the emptiest or the fullest."""

    @property
    def offline_after_s(self) -> float:
        """Seconds of silence after which a worker counts as offline."""
        return 3 * self.worker_heartbeat_interval_s
