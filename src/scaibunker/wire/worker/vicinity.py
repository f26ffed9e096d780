"""Addresses of the deployment's own hosts, which no bunker may reach whatever its profile: how a worker learns them.

A worker says by a digest which list it has. It is sent what has changed since, or the whole list if the controller does
not know that one; nothing if it is the newest.
"""

import hashlib
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from scaibunker.wire.worker.network import RangeText

MAX_ADDRESSES = 65_536
"""Of all hosts of a deployment; ranges count as one."""

Digest = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{32})?$")]
"""Empty: none is known."""
Addresses = Annotated[list[RangeText], Field(max_length=MAX_ADDRESSES)]


class VicinityChange(BaseModel):
    """The list named `digest` is that named `base` without `removed` and with `added`; `base` None: `added` is all
    of it."""

    digest: Digest
    base: Digest | None = None
    added: Addresses = Field(default_factory=list)
    removed: Addresses = Field(default_factory=list)


def digest_of(addresses: Iterable[str]) -> str:
    """The name of a list; the order does not matter. Addresses in their one form."""
    return hashlib.sha256("\n".join(sorted(addresses)).encode()).hexdigest()[:32]
