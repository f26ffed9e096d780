"""What the gateway has of one machine: the policy, and sockets that the daemon opened in the machine's namespace.

The gateway enters no namespace and changes no rule. What it dials, it dials from the host's namespace.
"""

import socket
from dataclasses import dataclass, field
from pathlib import Path

from scaibunker.worker.gateway.answers import Answers
from scaibunker.worker.gateway.counts import Counts
from scaibunker.worker.gateway.openings import Openings
from scaibunker.worker.gateway.recorder import Recorder, Unrecorded
from scaibunker.worker.gateway.shares import LoopTime, Share
from scaibunker.worker.network.policy import Policy


@dataclass(frozen=True, slots=True)
class Sockets:
    """Open, bound (and listening, where TCP), non-blocking; one of each family where there are two.

    `dns_udp`, `dns_tcp`: port 53 of the machine's gateway addresses. `proxied`: whatever TCP the guest opens with
    NAMED is redirected to them; `SO_ORIGINAL_DST` of what they accept says where it wanted to go. `conntrack`: a
    netlink socket that is subscribed to the ends (and begins) of flows; `refusals`: an NFLOG socket with the heads
    of packets that the rules refused. Those two where the policy is audited; close all with the attachment.
    """

    dns_udp: tuple[socket.socket, ...] = ()
    dns_tcp: tuple[socket.socket, ...] = ()
    proxied: tuple[socket.socket, ...] = ()
    conntrack: socket.socket | None = None
    refusals: socket.socket | None = None

    def all(self) -> list[socket.socket]:
        """In the order of the fields."""
        rare = [sock for sock in (self.conntrack, self.refusals) if sock is not None]
        return [*self.dns_udp, *self.dns_tcp, *self.proxied, *rare]

    def close(self) -> None:
        for sock in self.all():
            sock.close()


@dataclass(slots=True, eq=False)
class Attachment:
    """`name` is the machine's name on the host; `bunker_id` and `spool` are empty while it is nobody's. `spool`: the
    folder on this host for records of its flows. `answers` is what its resolver has said: per machine, nothing of it
    is shared. `openings` has the rules know of them. `recorder` takes what parts have to tell of flows. `share`: of the loop's time, for all
    that is done for it. `counts`: of what is done for all."""

    name: str
    bunker_id: str
    policy: Policy
    sockets: Sockets
    spool: Path | None = None
    answers: Answers = field(default_factory=Answers)
    recorder: Recorder = field(default_factory=Unrecorded)
    share: Share = field(default_factory=lambda: LoopTime().share())
    counts: Counts = field(default_factory=Counts)
    openings: Openings = field(init=False)

    def __post_init__(self) -> None:
        self.openings = Openings(self.sockets.dns_udp)
