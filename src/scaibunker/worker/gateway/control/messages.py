"""The frames' content. The daemon asks, the gateway answers with the same `id`; several may be under way."""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from scaibunker.worker.gateway.attachment import Sockets
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.policy import Passage, Policy

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
"""Of a machine; of a bunker too, whose id becomes the name of a folder."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PolicyMessage(_Message):
    """A policy, but for its interfaces: bridges pass the gateway by."""

    passage: Passage
    bandwidth_mbit: int
    names: tuple[str, ...]
    audited: bool

    @classmethod
    def of(cls, policy: Policy) -> Self:
        return cls(
            passage=policy.passage,
            bandwidth_mbit=policy.bandwidth_mbit,
            names=policy.names,
            audited=policy.audited,
        )

    def policy(self) -> Policy:
        return Policy(self.passage, self.bandwidth_mbit, self.names, self.audited)


class SocketCounts(_Message):
    """How many of the frame's files are what, in this order."""

    dns_udp: int = Field(0, ge=0, le=2)
    dns_tcp: int = Field(0, ge=0, le=2)
    proxied: int = Field(0, ge=0, le=2)
    conntrack: int = Field(0, ge=0, le=1)
    refusals: int = Field(0, ge=0, le=1)

    @classmethod
    def of(cls, sockets: Sockets) -> Self:
        return cls(
            dns_udp=len(sockets.dns_udp),
            dns_tcp=len(sockets.dns_tcp),
            proxied=len(sockets.proxied),
            conntrack=int(sockets.conntrack is not None),
            refusals=int(sockets.refusals is not None),
        )

    def sockets(self, files: Sequence[int]) -> Sockets:
        """Takes the files over. Raises ValueError, and has taken none, if there are more or fewer than it says."""
        counts = (self.dns_udp, self.dns_tcp, self.proxied, self.conntrack, self.refusals)
        if sum(counts) != len(files):
            raise ValueError(f"{len(files)} files came, {sum(counts)} were meant to")
        opened = iter([socket.socket(fileno=number) for number in files])
        groups = [tuple(next(opened) for _ in range(count)) for count in counts]
        dns_udp, dns_tcp, proxied, conntrack, refusals = groups
        return Sockets(
            dns_udp, dns_tcp, proxied, next(iter(conntrack), None), next(iter(refusals), None)
        )


Name = Annotated[str, Field(pattern=NAME)]
Word = Annotated[str, Field(pattern=r"^[a-z0-9_]{0,40}$")]
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
BunkerId = Annotated[str, Field(pattern=rf"^$|{NAME}")]


class Attach(_Message):
    kind: Literal["attach"] = "attach"
    id: int
    name: Name
    bunker_id: BunkerId
    policy: PolicyMessage
    sockets: SocketCounts


class Change(_Message):
    kind: Literal["change"] = "change"
    id: int
    name: Name
    bunker_id: BunkerId
    policy: PolicyMessage


class Detach(_Message):
    """Answered once nothing of the machine is served, and the records of its flows are on disk."""

    kind: Literal["detach"] = "detach"
    id: int
    name: Name


class Surround(_Message):
    """`vicinity`, `permitted`: ranges of addresses. Nothing is attached before the first of these."""

    kind: Literal["surround"] = "surround"
    id: int
    vicinity: tuple[str, ...]
    permitted: tuple[str, ...]
    upstreams: tuple[tuple[str, Annotated[int, Field(ge=1, le=65535)]], ...]
    ttl_min_s: int
    ttl_max_s: int

    @classmethod
    def of(cls, number: int, around: Surroundings) -> Self:
        return cls(
            id=number,
            vicinity=tuple(map(str, around.never.vicinity)),
            permitted=tuple(map(str, around.never.permitted)),
            upstreams=around.upstreams,
            ttl_min_s=around.ttl_min_s,
            ttl_max_s=around.ttl_max_s,
        )

    def surroundings(self) -> Surroundings:
        """Raises ValueError for what is no range, or no address."""
        for address, _ in self.upstreams:
            ipaddress.ip_address(address)
        vicinity = tuple(ipaddress.ip_network(text) for text in self.vicinity)
        permitted = tuple(ipaddress.ip_network(text) for text in self.permitted)
        return Surroundings(
            Never(vicinity, permitted), self.upstreams, self.ttl_min_s, self.ttl_max_s
        )


class StatusQuery(_Message):
    kind: Literal["status"] = "status"
    id: int


Request = Annotated[Attach | Change | Detach | Surround | StatusQuery, Field(discriminator="kind")]
REQUEST: TypeAdapter[Attach | Change | Detach | Surround | StatusQuery] = TypeAdapter(Request)


class Answer(_Message):
    """`error` empty: done. `failed`: which parts of whom do not work, though the others do. `version`, what the gateway
    runs, and `machines`, whom it serves: with the answer to `status` alone. So are `counts` of what it has done since it was started,
    by what and why, and how many connections are open."""

    id: int
    error: str = ""
    version: str = ""
    machines: tuple[str, ...] = ()
    failed: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    counts: Annotated[
        dict[Word, Annotated[dict[Word, Count], Field(max_length=64)]], Field(max_length=16)
    ] = Field(default_factory=dict)
    connections_open: Count = 0
