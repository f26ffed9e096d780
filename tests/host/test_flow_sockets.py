"""The kernel's side of the flow audit: what is told of flows and refusals, in a namespace of the test's own."""

import socket
import struct
import time

import pytest

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import flow_sockets
from scaibunker.worker.network.facts import REFUSALS_GROUP
from tests.host.own_namespace import Namespace, namespace

FLOWS = 5000
TRACK = """
table inet t {
  chain in { type filter hook input priority 0
    ct state new accept
  }
}
"""
REFUSE = f"""
table inet t {{
  chain in {{ type filter hook input priority 0
    udp dport 999 log prefix "closed" group {REFUSALS_GROUP} drop
  }}
}}
"""


def kinds(netlink: socket.socket) -> list[int]:
    """Of all messages that wait."""
    found = []
    while True:
        try:
            data = netlink.recv(65536)
        except BlockingIOError:
            return found
        except OSError:  # it was full in between
            continue
        position = 0
        while position < len(data):
            size, kind = struct.unpack_from("=IH", data, position)
            found.append(kind & 0xFF)
            position += (size + 3) & ~3


def send(count: int, port: int) -> None:
    taking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taking.bind(("127.0.0.1", 0 if port == 0 else 1000))
    for number in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as giving:
            giving.sendto(b"x", ("127.0.0.1", port or 20_000 + number))


def tracked(space: Namespace) -> None:
    space.inside(flow_sockets.track_flows)
    space.run("nft", "-f", "-", given=TRACK)


def test_the_end_of_each_flow_is_told_however_little_the_socket_holds() -> None:
    with namespace() as space:
        tracked(space)
        with space.inside(flow_sockets.open_conntrack) as netlink:
            space.inside(lambda: send(FLOWS, 0))
            space.inside(flow_sockets.end_flows)
            ends, deadline = 0, time.monotonic() + 60
            while ends < FLOWS and time.monotonic() < deadline:
                ends += kinds(netlink).count(2)
            assert ends == FLOWS


def test_refused_packets_are_numbered() -> None:
    with namespace() as space:
        space.run("nft", "-f", "-", given=REFUSE)
        with space.inside(flow_sockets.open_refusals) as netlink:
            space.inside(lambda: send(FLOWS, 999))
            deadline, told = time.monotonic() + 60, 0
            while not told and time.monotonic() < deadline:
                told += kinds(netlink).count(0)
            assert 0 < told <= FLOWS


def test_a_group_is_read_by_one() -> None:
    with (
        namespace() as space,
        space.inside(flow_sockets.open_refusals),
        pytest.raises(WorkerFault, match="refused packets"),
    ):
        space.inside(flow_sockets.open_refusals)
