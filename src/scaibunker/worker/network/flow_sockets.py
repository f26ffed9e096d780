"""Sockets of a machine's namespace from which its flows and refusals are read.

All of it is called on a thread that is inside the namespace, as root. The sockets stay in the namespace that they were
opened in, whoever reads them; to read takes no rights. What they carry, `gateway.flows` knows.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from scaibunker.worker.errors import WorkerFault

SYSCTLS = Path("/proc/sys/net/netfilter")
TCP_TIMEOUTS = {
    "syn_sent": 30,
    "syn_recv": 30,
    "established": 432_000,
    "fin_wait": 60,
    "close_wait": 60,
    "last_ack": 30,
    "time_wait": 5,
    "close": 5,
}
"""In the kernel's order of states, from 1 on."""
TIMEOUTS = {
    "udp_timeout": 30,
    "udp_timeout_stream": 120,
    "icmp_timeout": 30,
    "icmpv6_timeout": 30,
    "generic_timeout": 600,
}
TRACKING = {
    "nf_conntrack_acct": 1,
    "nf_conntrack_timestamp": 1,
    **{f"nf_conntrack_tcp_timeout_{state}": seconds for state, seconds in TCP_TIMEOUTS.items()},
    **{f"nf_conntrack_{kind}": seconds for kind, seconds in TIMEOUTS.items()},
}
"""Per namespace. Bytes and times are counted for flows that begin afterwards. A flow ends when its last packet is so
many seconds old: they are known, so that the record can say when that packet was."""

REFUSALS_GROUP = 1
"""NFLOG group of what rules refuse; groups are counted in each namespace."""
REFUSALS_DELAY_CS = 5
"""Hundredths of a second that the kernel gathers refused packets for one message."""
HEAD_BYTES = 96
"""Of each refused packet: enough for addresses and ports."""
RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes that wait in a socket, as the kernel counts them; several thousand events. A flow's end for which there is no
room is not lost: the flow stays in the kernel's table, and its end is told again. So a guest that makes flows faster than they
are recorded fills its own table, and then it gets no new ones."""

_SOL_NETLINK = 270
_BROADCAST_ERROR = 4
_RCVBUFFORCE = 33
_NEW, _DESTROY = 1, 4
_NETFILTER = 12
_ULOG = 4
_CONFIGURE = _ULOG << 8 | 1
_FLUSH = 1 << 8 | 2  # delete, and nothing in particular
_GET = 1 << 8 | 1
_REQUEST_ACK, _DUMP = 0x5, 0x301
_ERROR, _DONE = 2, 3  # NLMSG_
_DUMP_BYTES = 64 * 1024
_BIND = 1
_COPY_PACKET = 2
_COUNT = 1  # NFULNL_CFG_F_SEQ
_COMMAND, _MODE, _DELAY, _FLAGS = 1, 2, 4, 6  # NFULA_CFG_ CMD, MODE, TIMEOUT, FLAGS
_ANSWER_S = 10.0
_TUPLE, _FILTER = 1, 25  # CTA_TUPLE_ORIG, CTA_FILTER
_IP, _V4_SOURCE = 1, 1
_BY_SOURCE = 1
_NESTED = 1 << 15


def track_flows(timeouts: Iterable[tuple[str, int]] = tuple(TRACKING.items())) -> None:
    """Have this namespace's flows counted and timed. Before rules that track are there, or traffic. Raises WorkerFault."""
    for name, value in timeouts:
        try:
            (SYSCTLS / name).write_text(str(value))
        except OSError as error:
            raise WorkerFault(f"flows cannot be tracked here: {name}: {error}") from error


def open_conntrack() -> socket.socket:
    """Subscribed to the begins and ends of this namespace's flows. Non-blocking. Raises WorkerFault."""
    with _or_fault("conntrack events"), contextlib.ExitStack() as undo:
        netlink = undo.enter_context(_netlink(_NEW | _DESTROY))
        netlink.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, RECEIVE_BUFFER)
        netlink.setsockopt(_SOL_NETLINK, _BROADCAST_ERROR, 1)
        netlink.setblocking(False)
        undo.pop_all()
        return netlink


def open_refusals(group: int = REFUSALS_GROUP) -> socket.socket:
    """Bound to an NFLOG group of this namespace: heads of packets that rules log there, with the reason as prefix. They
    are numbered, so that it shows how many did not fit. Non-blocking. Raises WorkerFault; one of them is that somebody is bound to it already."""
    with _or_fault("refused packets"), contextlib.ExitStack() as undo:
        netlink = undo.enter_context(_netlink(0))
        netlink.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, RECEIVE_BUFFER)
        for kind, value in (
            (_COMMAND, bytes([_BIND])),
            (_MODE, struct.pack(">IBB", HEAD_BYTES, _COPY_PACKET, 0)),
            (_DELAY, struct.pack(">I", REFUSALS_DELAY_CS)),
            (_FLAGS, struct.pack(">H", _COUNT)),
        ):
            _ask(netlink, _CONFIGURE, group, _attribute(kind, value))
        netlink.setblocking(False)
        undo.pop_all()
        return netlink


def end_flows() -> None:
    """Forget all flows of this namespace; the end of each is told, with what it had carried, before this
    returns. When nothing passes any more, and before the attachment is closed. Raises WorkerFault."""
    with _or_fault("flows"), _netlink(0) as netlink:
        _ask(netlink, _FLUSH, 0, b"")


def end_flows_from(source: IPv4Address | IPv6Address) -> None:
    """The same for those that came from one address, which is part of none other. Raises WorkerFault."""
    with _or_fault("flows"), _netlink(0) as netlink:
        if source.version == 4:
            address = _attribute(_NESTED | _IP, _attribute(_V4_SOURCE, source.packed))
            only = _attribute(1, struct.pack("=I", _BY_SOURCE)) + _attribute(2, bytes(4))
            which = _attribute(_NESTED | _TUPLE, address) + _attribute(_NESTED | _FILTER, only)
            _ask(netlink, _FLUSH, 0, which, socket.AF_INET)
            return
        # Kernels end all flows but those, if asked to end IPv6 ones by an address.
        for which in list(_tuples(netlink, source.packed)):
            with contextlib.suppress(FileNotFoundError):  # it has just ended
                _ask(netlink, _FLUSH, 0, which, socket.AF_INET6)


def _tuples(netlink: socket.socket, source: bytes) -> Iterator[bytes]:
    """Of IPv6 flows from that address: each as the attribute that names it, which the kernel puts first."""
    netlink.settimeout(_ANSWER_S)
    body = struct.pack("=BBH", socket.AF_INET6, 1, 0)
    netlink.send(struct.pack("=IHHII", 16 + len(body), _GET, _DUMP, 1, 0) + body)
    while True:
        data, at = netlink.recv(_DUMP_BYTES), 0
        while at + 16 <= len(data):
            size, kind = struct.unpack_from("=IH", data, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                (error,) = struct.unpack_from("=i", data, at + 16)
                raise OSError(-error, os.strerror(-error))
            # Headers of 20 bytes, and 4 each of the attributes for the flow's ends, for their addresses, and for the source.
            if data[at + 32 : at + 48] == source:
                (length,) = struct.unpack_from("=H", data, at + 20)
                yield data[at + 20 : at + 20 + (length + 3) // 4 * 4]
            at += max(16, (size + 3) // 4 * 4)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _netlink(groups: int) -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
    try:
        netlink.bind((0, groups))
    except OSError:
        netlink.close()
        raise
    return netlink


def _ask(
    netlink: socket.socket, kind: int, resource: int, attributes: bytes, family: int = 0
) -> None:
    """Raises OSError if the kernel refuses."""
    version = 1 if family else 0  # without it, the kernel does not look at the family
    body = struct.pack("=BBH", family, version, socket.htons(resource)) + attributes
    netlink.settimeout(_ANSWER_S)
    netlink.send(struct.pack("=IHHII", 16 + len(body), kind, _REQUEST_ACK, 1, 0) + body)
    while True:
        answer = netlink.recv(8192)
        (answered,) = struct.unpack_from("=H", answer, 4)
        if answered == _ERROR:  # packets of the group may come before it
            (error,) = struct.unpack_from("=i", answer, 16)
            if error:
                raise OSError(-error, os.strerror(-error))
            return


@contextlib.contextmanager
def _or_fault(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WorkerFault(f"cannot read {what} of a namespace: {error}") from error
