"""What NFLOG says: packets that the rules have refused, put together to flows. Pure.

A guest that is refused tries again, and one that floods sends millions: packets of one flow that come within a few
seconds are one record with a count, and of a flow for which there is no room only the count is kept.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from scaibunker.worker.gateway.flows.netlink import Message, attributes
from scaibunker.worker.gateway.flows.tracking import Ends

PACKET = 0x400
MAX_FLOWS = 4096
"""Refused flows of one machine that are put together at a time."""
_PAYLOAD, _PREFIX, _SEQUENCE = 9, 10, 12
_MAX_REASON = 64
_SEQUENCES = 1 << 32
_WITH_PORTS = frozenset((6, 17, 33, 132, 136))  # TCP, UDP, DCCP, SCTP, UDP-Lite
_EXTENSIONS = frozenset((0, 43, 60, 135))
_FRAGMENT = 44
_V4, _V6 = 4, 6
_V6_HEADER = 40
_U16 = struct.Struct(">H")
_PORTS = struct.Struct(">HH")


@dataclass(slots=True)
class Refusal:
    """Times in seconds since 1970."""

    ends: Ends
    reason: str
    first: float
    last: float
    packets: int = 0
    bytes: int = 0


class Refusals:
    """Of one machine. `lost`: packets that were refused and that no refusal tells of, since it was last asked."""

    def __init__(self, max_flows: int = MAX_FLOWS) -> None:
        self._max_flows = max_flows
        self._flows: dict[tuple[Ends, str], Refusal] = {}
        self._next: int | None = None
        self._lost = 0

    def read(self, data: bytes, message: Message, now: float) -> None:
        """Take in a message. Raises LookupError or struct.error if it makes no sense."""
        if message.kind != PACKET:
            return
        found = attributes(data, message.body)
        if _SEQUENCE in found:
            (number,) = struct.unpack_from(">I", data, found[_SEQUENCE][0])
            if self._next is not None:
                self._lost += (number - self._next) % _SEQUENCES
            self._next = (number + 1) % _SEQUENCES
        ends, size = _packet(data[slice(*found[_PAYLOAD])])
        prefix = data[slice(*found[_PREFIX])] if _PREFIX in found else b""
        reason = prefix.split(b"\0")[0].decode("ascii", "replace").strip()[:_MAX_REASON]
        key = (ends, reason)
        refusal = self._flows.get(key)
        if refusal is None:
            if len(self._flows) >= self._max_flows:
                self._lost += 1
                return
            refusal = self._flows[key] = Refusal(ends, reason, now, now)
        refusal.last = now
        refusal.packets += 1
        refusal.bytes += size

    def lost(self) -> int:
        lost, self._lost = self._lost, 0
        return lost

    def take(self) -> Iterator[Refusal]:
        """Those that have come together; they begin anew."""
        flows, self._flows = self._flows, {}
        yield from flows.values()


def _packet(packet: bytes) -> tuple[Ends, int]:
    """Its ends, and its size as it says itself. Raises LookupError or struct.error for what is no IP packet."""
    version = packet[0] >> 4
    if version == _V4:
        header = (packet[0] & 0xF) * 4
        is_first = not _U16.unpack_from(packet, 6)[0] & 0x1FFF
        ports = _ports(packet, header, packet[9]) if is_first else (None, None)
        return Ends(packet[12:16], packet[16:20], packet[9], *ports), _U16.unpack_from(packet, 2)[0]
    if version != _V6 or len(packet) < _V6_HEADER:
        raise LookupError("no IP packet")
    protocol, position = _upper_layer(packet)
    ports = _ports(packet, position, protocol) if position else (None, None)
    size = _U16.unpack_from(packet, 4)[0] + _V6_HEADER
    return Ends(packet[8:24], packet[24:40], protocol, *ports), size


def _upper_layer(packet: bytes) -> tuple[int, int]:
    """The first protocol that is no extension, and where it begins (0: not in this packet, or too far in)."""
    protocol, position = packet[6], _V6_HEADER
    while protocol in _EXTENSIONS or protocol == _FRAGMENT:
        if position + 8 > len(packet):
            return protocol, 0
        if protocol == _FRAGMENT:
            if _U16.unpack_from(packet, position + 2)[0] & 0xFFF8:
                return packet[position], 0
            size = 8
        else:
            size = (packet[position + 1] + 1) * 8
        protocol, position = packet[position], position + size
    return protocol, position


def _ports(packet: bytes, position: int, protocol: int) -> tuple[int | None, int | None]:
    if protocol not in _WITH_PORTS or position + 4 > len(packet):
        return None, None
    source, destination = _PORTS.unpack_from(packet, position)
    return source, destination
