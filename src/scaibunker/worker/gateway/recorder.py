"""What the gateway's parts tell of flows that they carried or refused themselves; `flows` writes it down."""

import socket
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

Endpoint = tuple[str, int]
"""Address as text, and port."""


class Verdict(StrEnum):
    """What became of a flow."""

    ALLOWED = "allowed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow, at its end. `start` in seconds since 1970. `source` is the guest, `destination` where it wanted to go.
    `host`: the name it gave, or that the address stood for. Bytes as the program sends and receives them, from
    the guest's side; `packets_*` None where nobody counted them. `reason` with REFUSED, and where
    it says why an allowed one failed: a few words of ours, and nothing that the guest wrote. `dialled`: where it was
    taken to by who opened it anew."""

    start: float
    duration_s: float
    source: Endpoint
    destination: Endpoint
    verdict: Verdict
    protocol: int = socket.IPPROTO_TCP
    host: str | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    packets_sent: int | None = None
    packets_received: int | None = None
    reason: str | None = None
    dialled: Endpoint | None = None


class Recorder(Protocol):
    """Of one machine. Called on the gateway's loop; never waits and never raises. What there is no room for is
    counted."""

    def record(self, flow: Flow) -> None:
        """Write it down, if the machine's policy is audited."""
        ...


class Unrecorded:
    """A `Recorder` where nothing is kept."""

    def record(self, flow: Flow) -> None:
        pass
