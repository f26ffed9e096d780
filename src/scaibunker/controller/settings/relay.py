"""Commands and files."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from scaigrid.settings import Section


class RelaySettings(Section):
    """Commands and files of bunkers."""

    model_config = SettingsConfigDict(env_prefix="SCAIBUNKER_")

    exec_grace_s: Annotated[float, Field(gt=0, le=600)] = 30
    """How long after a command's own time-out its worker may take to report its end, in seconds."""

    file_idle_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60
    """How long a file transfer may stand still, in seconds."""
