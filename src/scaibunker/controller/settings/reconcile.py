"""The reconciler's rhythm and patience."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from scaigrid.settings import Section


class ReconcileSettings(Section):
    """How the controller brings bunkers to where they should be."""

    model_config = SettingsConfigDict(env_prefix="SCAIBUNKER_")

    reconcile_interval_s: Annotated[float, Field(ge=0.02, le=60)] = 2
    """How often the reconciler looks for bunkers that need it without having been told, in seconds."""

    reconcile_concurrency: Annotated[int, Field(ge=1, le=1024)] = 32
    """Bunkers that are worked on at the same time."""

    provision_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 300
    """How long a machine may take from being placed to running, in seconds."""

    order_timeout_s: Annotated[float, Field(gt=0, le=600)] = 20
    """How long a worker that reports may fail to take the order of a machine, in seconds; after that
    another worker gets it."""

    wake_timeout_s: Annotated[float, Field(gt=0, le=600)] = 60
    """How long a call waits for a bunker that it wakes, in seconds; after that the wake goes on in the
    background."""

    wake_placement_s: Annotated[float, Field(ge=0, le=300)] = 5
    """How long a wake waits for a place on a worker, in seconds; after that the bunker sleeps on."""

    passivation_retry_s: Annotated[float, Field(gt=0, le=86_400)] = 300
    """How long a bunker whose passivation failed stays awake before it is tried again, in seconds."""

    passivation_patience_s: Annotated[float, Field(ge=0, le=86_400)] = 60
    """How long a bunker that is in use keeps the passivation of its worker's bunkers waiting, in seconds; the
    same of one that has been awake for as long as it may."""

    terminate_wait_s: Annotated[float, Field(gt=0, le=300)] = 20
    """How long DELETE, pause and resume wait for the worker before they answer, in seconds; what
    was asked for goes on in the background."""
