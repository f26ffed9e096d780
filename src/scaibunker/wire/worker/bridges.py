"""Bridges as the controller orders them and as the worker knows them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from scaibunker.wire.api.bridges import BridgeName
from scaibunker.wire.bounds import Count, Reference, Short

MAX_BRIDGES = 1024
"""Of one worker."""
MAX_PORTS = 64
"""Interfaces that are plugged into one bridge."""


class BridgeSpec(BaseModel):
    """Body of `PUT /v1/bridges/{bridge_id}`: whose it is, and what its owner calls it."""

    model_config = ConfigDict(extra="forbid")

    bridge_id: Reference
    tenant_id: Annotated[Short, Field(min_length=1)]
    name: BridgeName


class BridgeState(BridgeSpec):
    """A worker's view of one bridge. `ports`: interfaces of machines that are plugged in."""

    ports: Count = 0
