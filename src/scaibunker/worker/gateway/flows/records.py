"""The lines of a batch: what a flow was, or how many are missing. `wire.api.flows` says what callers read. Pure."""

import json
import socket
from datetime import UTC, datetime

from scaibunker.worker.gateway.flows.refusals import Refusal
from scaibunker.worker.gateway.flows.tracking import NS, Ended
from scaibunker.worker.gateway.recorder import Flow, Verdict

_PROTOCOLS = {
    socket.IPPROTO_TCP: "tcp",
    socket.IPPROTO_UDP: "udp",
    socket.IPPROTO_ICMP: "icmp",
    socket.IPPROTO_ICMPV6: "icmpv6",
    socket.IPPROTO_SCTP: "sctp",
}


def of_ended(bunker_id: str, flow: Ended, host: str | None) -> bytes:
    """A flow that was forwarded."""
    return _line(
        bunker_id,
        flow.start_ns / NS,
        (flow.end_ns - flow.start_ns) / NS,
        (_text(flow.ends.source), flow.ends.source_port),
        (_text(flow.ends.destination), flow.ends.destination_port),
        flow.ends.protocol,
        host,
        (flow.bytes_sent, flow.bytes_received, flow.packets_sent, flow.packets_received),
        Verdict.ALLOWED,
        None,
    )


def of_refusal(bunker_id: str, refusal: Refusal, host: str | None) -> bytes:
    """A flow that the rules refused."""
    return _line(
        bunker_id,
        refusal.first,
        refusal.last - refusal.first,
        (_text(refusal.ends.source), refusal.ends.source_port),
        (_text(refusal.ends.destination), refusal.ends.destination_port),
        refusal.ends.protocol,
        host,
        (refusal.bytes, 0, refusal.packets, 0),
        Verdict.REFUSED,
        refusal.reason or None,
    )


def of_flow(bunker_id: str, flow: Flow) -> bytes:
    """A flow that a part of the gateway carried or refused."""
    return _line(
        bunker_id,
        flow.start,
        flow.duration_s,
        flow.source,
        flow.destination,
        flow.protocol,
        flow.host,
        (flow.bytes_sent, flow.bytes_received, flow.packets_sent, flow.packets_received),
        flow.verdict,
        flow.reason,
    )


def of_loss(bunker_id: str, count: int | None, reason: str, first: float, last: float) -> bytes:
    """That `count` records are missing (None: nobody knows how many), from between those times."""
    record = {
        "dropped": count,
        "reason": reason,
        "start": _time(first),
        "end": _time(last),
        "bunker_id": bunker_id,
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _line(
    bunker_id: str,
    start: float,
    duration_s: float,
    source: tuple[str, int | None],
    destination: tuple[str, int | None],
    protocol: int,
    host: str | None,
    counts: tuple[int, int, int | None, int | None],
    verdict: Verdict,
    reason: str | None,
) -> bytes:
    bytes_sent, bytes_received, packets_sent, packets_received = counts
    record = {
        "start": _time(start),
        "duration_ms": round(max(0.0, duration_s) * 1000),
        "source_address": source[0],
        "source_port": source[1],
        "destination_address": destination[0],
        "destination_port": destination[1],
        "host": host,
        "protocol": _PROTOCOLS.get(protocol, str(protocol)),
        "bytes_sent": bytes_sent,
        "bytes_received": bytes_received,
        "packets_sent": packets_sent,
        "packets_received": packets_received,
        "verdict": verdict.value,
        "reason": reason,
        "bunker_id": bunker_id,
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _text(address: bytes) -> str:
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, address)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:-6] + "Z"
