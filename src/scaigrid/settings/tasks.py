"""Background workers."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from scaigrid.settings.base import Section


class TaskSettings(Section):
    """Background workers, `SCAIGRID_MODE=worker`."""

    model_config = SettingsConfigDict(env_prefix="SCAIGRID_TASKS_")

    lease_s: Annotated[float, Field(ge=1, le=3600)] = 30
    """After how long a task is taken from a background worker that has fallen silent, in seconds.
    The clocks of all hosts must agree to a third of it."""

    poll_interval_s: Annotated[float, Field(ge=0.1, le=300)] = 5
    """How often a background worker looks for tasks of which Redis has not told it, in seconds."""

    stop_timeout_s: Annotated[float, Field(ge=0, le=600)] = 5
    """How long running tasks may go on after SIGTERM, in seconds; another worker takes over what is
    broken off."""

    health_host: str = "127.0.0.1"
    """Address on which a background worker answers `/health`, `/health/ready` and `/metrics`."""

    health_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """TCP port for that; without one it does not listen at all."""
