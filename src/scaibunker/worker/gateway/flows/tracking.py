"""What conntrack says: that a flow has begun, and what it was when it has ended. Pure."""

import socket
import struct
from dataclasses import dataclass
from typing import NamedTuple

from scaibunker.worker.gateway.flows.netlink import Message, Span, attributes
from scaibunker.worker.network.flow_sockets import TCP_TIMEOUTS, TIMEOUTS

NEW, DESTROY = 0x100, 0x102
_CREATED = 0x400  # NLM_F_CREATE: without it, it is news of a flow that is known
_ORIGINAL, _STATUS, _PROTOCOL_STATE, _SENT, _RECEIVED, _ID, _TIMES = 1, 3, 4, 9, 10, 12, 20
_TOLD_AT = 27  # since Linux 6.14
_IP, _PROTOCOL = 1, 2
_V4_SOURCE, _V4_DESTINATION, _V6_SOURCE, _V6_DESTINATION = 1, 2, 3, 4
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_TCP, _TCP_STATE = 1, 1
_PACKETS, _BYTES = 1, 2
_START, _STOP = 1, 2
_ASSURED = 1 << 2
_U16, _U32, _U64 = struct.Struct(">H"), struct.Struct(">I"), struct.Struct(">Q")
NS = 1_000_000_000
_TCP_STATE_TIMEOUTS = (0, *TCP_TIMEOUTS.values(), TCP_TIMEOUTS["syn_sent"])
_UNACKNOWLEDGED_S = 300
"""That TCP flows of any state wait for, if the last packet was not acknowledged."""


class Ends(NamedTuple):
    """Addresses in network order; ports None for protocols that have none."""

    source: bytes
    destination: bytes
    protocol: int
    source_port: int | None
    destination_port: int | None


@dataclass(frozen=True, slots=True)
class Begun:
    """`key` names the flow until its end."""

    key: bytes
    destination: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """Times in nanoseconds since 1970, 0 if unknown. Bytes are of IP packets, headers included."""

    key: bytes
    ends: Ends
    start_ns: int
    end_ns: int
    packets_sent: int
    bytes_sent: int
    packets_received: int
    bytes_received: int


def read(data: bytes, message: Message) -> Begun | Ended | None:
    """None: it is of no concern here. Raises LookupError or struct.error if it makes no sense."""
    if message.kind == NEW:
        if not message.flags & _CREATED:
            return None
        found = attributes(data, message.body)
        return Begun(_key(data, found), _addresses(data, found)[1])
    if message.kind != DESTROY:
        return None
    found = attributes(data, message.body)
    ends = _ends(data, found)
    packets_sent, bytes_sent = _counters(data, found.get(_SENT))
    packets_received, bytes_received = _counters(data, found.get(_RECEIVED))
    start, stop = _times(data, found.get(_TIMES))
    if not message.sender or _had_expired(data, found, stop):
        stop = _last_packet(start, stop, _timeout(data, found, ends.protocol), ends.protocol)
    return Ended(
        _key(data, found),
        ends,
        start,
        max(start, stop),
        packets_sent,
        bytes_sent,
        packets_received,
        bytes_received,
    )


def _key(data: bytes, found: dict[int, Span]) -> bytes:
    start, end = found[_ORIGINAL]
    number = found[_ID]
    return data[number[0] : number[1]] + data[start:end]


def _addresses(data: bytes, found: dict[int, Span]) -> tuple[bytes, bytes]:
    ip = attributes(data, attributes(data, found[_ORIGINAL])[_IP])
    source = ip.get(_V4_SOURCE) or ip[_V6_SOURCE]
    destination = ip.get(_V4_DESTINATION) or ip[_V6_DESTINATION]
    return data[slice(*source)], data[slice(*destination)]


def _ends(data: bytes, found: dict[int, Span]) -> Ends:
    source, destination = _addresses(data, found)
    protocol = attributes(data, attributes(data, found[_ORIGINAL])[_PROTOCOL])
    return Ends(
        source,
        destination,
        data[protocol[_NUMBER][0]],
        _number(_U16, data, protocol.get(_SOURCE_PORT)),
        _number(_U16, data, protocol.get(_DESTINATION_PORT)),
    )


def _number(form: struct.Struct, data: bytes, span: Span | None) -> int | None:
    return None if span is None else int(form.unpack_from(data, span[0])[0])


def _counters(data: bytes, span: Span | None) -> tuple[int, int]:
    return _pair(data, span, _PACKETS, _BYTES)


def _times(data: bytes, span: Span | None) -> tuple[int, int]:
    return _pair(data, span, _START, _STOP)


def _pair(data: bytes, span: Span | None, first: int, second: int) -> tuple[int, int]:
    if span is None:
        return 0, 0
    found = attributes(data, span)
    one, other = (_number(_U64, data, found.get(kind)) for kind in (first, second))
    return one or 0, other or 0


def _timeout(data: bytes, found: dict[int, Span], protocol: int) -> int:
    """Seconds that a flow was kept after its last packet."""
    if protocol == socket.IPPROTO_TCP:
        state = _tcp_state(data, found)
        return _TCP_STATE_TIMEOUTS[state] if state < len(_TCP_STATE_TIMEOUTS) else 0
    if protocol == socket.IPPROTO_UDP:
        status = _number(_U32, data, found.get(_STATUS)) or 0
        return TIMEOUTS["udp_timeout_stream" if status & _ASSURED else "udp_timeout"]
    if protocol == socket.IPPROTO_ICMP:
        return TIMEOUTS["icmp_timeout"]
    if protocol == socket.IPPROTO_ICMPV6:
        return TIMEOUTS["icmpv6_timeout"]
    return TIMEOUTS["generic_timeout"]


def _tcp_state(data: bytes, found: dict[int, Span]) -> int:
    if _PROTOCOL_STATE not in found:
        return 0
    tcp = attributes(data, found[_PROTOCOL_STATE]).get(_TCP)
    state = attributes(data, tcp).get(_TCP_STATE) if tcp else None
    return data[state[0]] if state else 0


def _had_expired(data: bytes, found: dict[int, Span], stop: int) -> bool:
    """Whether it was over before it was ended: the kernel looks for such flows once a minute."""
    told_at = _number(_U64, data, found.get(_TOLD_AT))
    return told_at is not None and told_at - stop > NS // 10


def _last_packet(start: int, stop: int, timeout_s: int, protocol: int) -> int:
    """A flow that nobody ended was kept for a time after its last packet."""
    for waited in (
        (timeout_s, _UNACKNOWLEDGED_S) if protocol == socket.IPPROTO_TCP else (timeout_s,)
    ):
        if stop - waited * NS >= start:
            return stop - waited * NS
    return start
