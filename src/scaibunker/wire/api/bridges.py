"""Bridges: what `transit` bunkers are plugged into. Source: the product contract, §8."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from scaibunker.wire.bounds import WorkerId

BridgeName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=63)
]


class BridgeStatus(StrEnum):
    """How a bridge stands."""

    CREATING = "creating"  # the name is taken; its worker is being asked
    READY = "ready"
    FAILED = "failed"  # its worker has lost it and cannot make it again; `status_reason` says why
    DELETING = "deleting"  # it takes no bunkers any more; its worker has yet to take it down


class BridgeCreate(BaseModel):
    """Body of `POST /bridges`. `name` is what `interfaces` name as `bridge_name`."""

    model_config = ConfigDict(extra="forbid")

    name: BridgeName
    worker_id: WorkerId


class Bridge(BaseModel):
    """A bridge's record. It is on one worker, and stays there: bunkers that name it run there."""

    id: str
    tenant_id: str
    name: str
    worker_id: str
    status: BridgeStatus
    status_reason: str | None
    created_at: datetime
    updated_at: datetime
