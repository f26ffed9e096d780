"""The sockets that the gateway serves a machine by, opened inside its namespace."""

import contextlib
import socket

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.gateway.attachment import Sockets
from scaibunker.worker.network import flow_sockets
from scaibunker.worker.network.facts import SlotFacts
from scaibunker.worker.network.policy import Passage, Policy

BACKLOG = 256
UDP_BUFFER = 256 * 1024
TCP_BUFFER = 192 * 1024
"""Each way, of what is accepted. The kernel would give more to a guest that keeps it full, and it is the whole host's."""
IPV6_V6ONLY = 1


def open_sockets(policy: Policy, facts: SlotFacts) -> Sockets:
    """In the namespace of the calling thread. Raises WorkerFault; none is open then."""
    with contextlib.ExitStack() as undo:
        try:
            sockets = _open(policy, facts, undo)
        except OSError as error:
            raise WorkerFault(f"cannot listen in a machine's network: {error}") from error
        undo.pop_all()
        return sockets


def _open(policy: Policy, facts: SlotFacts, undo: contextlib.ExitStack) -> Sockets:
    gateways = (str(facts.gateway_v4), str(facts.gateway_v6))
    tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM

    def bound(kind: int, port: int) -> tuple[socket.socket, ...]:
        return tuple(undo.enter_context(_bound(kind, address, port)) for address in gateways)

    return Sockets(
        dns_udp=bound(udp, facts.dns_port),
        dns_tcp=bound(tcp, facts.dns_port),
        proxied=bound(tcp, facts.proxy_port) if policy.passage is Passage.NAMED else (),
        conntrack=undo.enter_context(flow_sockets.open_conntrack()) if policy.audited else None,
        refusals=undo.enter_context(flow_sockets.open_refusals(facts.refusals_group))
        if policy.audited
        else None,
    )


def _bound(kind: int, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, IPV6_V6ONLY)
        if kind == socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, TCP_BUFFER)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TCP_BUFFER)
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER)
        opened.bind((address, port))
        if kind == socket.SOCK_STREAM:
            opened.listen(BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened
