"""Flows in a namespace, as the kernel counts them and as they are recorded."""

import json
import re
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaibunker.worker.gateway.attachment import Sockets
from scaibunker.worker.network import flow_sockets
from scaibunker.worker.network.facts import REFUSALS_GROUP
from scaibunker.worker.network.policy import Passage, Policy
from tests.host.own_namespace import Namespace

BUNKER = "bnk_flows"
POLICY = Policy(Passage.OPEN, bandwidth_mbit=100, audited=True)
TCP_PORT, UDP_PORT = 8000, 1000
IP_UDP = 28
RULES = f"""
table inet t {{
  counter sent {{ }}
  counter received {{ }}
  chain out {{ type filter hook output priority 0
    ct state new accept
  }}
  chain count {{ type filter hook output priority 10
    tcp dport {TCP_PORT} counter name sent
    tcp sport {TCP_PORT} counter name received
  }}
  chain in {{ type filter hook input priority 0
    udp dport 999 log prefix "closed" group {REFUSALS_GROUP} drop
  }}
}}
"""


def prepare(space: Namespace) -> Sockets:
    space.inside(flow_sockets.track_flows)
    space.run("nft", "-f", "-", given=RULES)
    return open_sockets(space)


def open_sockets(space: Namespace) -> Sockets:
    return Sockets(
        conntrack=space.inside(flow_sockets.open_conntrack),
        refusals=space.inside(flow_sockets.open_refusals),
    )


def counted(space: Namespace, name: str) -> tuple[int, int]:
    """Packets and bytes."""
    command = ["nft", "list", "counter", "inet", "t", name]
    said = space.inside(lambda: subprocess.run(command, check=True, capture_output=True))
    found = re.search(rb"packets (\d+) bytes (\d+)", said.stdout)
    assert found
    return int(found[1]), int(found[2])


def make_tcp_flows(count: int) -> None:
    with socket.create_server(("127.0.0.1", TCP_PORT)) as server:
        for number in range(count):
            with socket.create_connection(("127.0.0.1", TCP_PORT)) as client:
                taken, _ = server.accept()
                with taken:
                    client.sendall(b"x" * (1 + number % 900))
                    taken.recv(1000)
                    taken.sendall(b"y" * 100)
                    client.recv(1000)


def make_udp_flows(count: int) -> dict[int, int]:
    """The size of what each has sent, by its port."""
    sizes = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", UDP_PORT))
        for number in range(count):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.bind(("127.0.0.1", 20_000 + number))
                client.connect(("127.0.0.1", UDP_PORT))
                client.send(b"x" * (number % 1200))
                data, address = server.recvfrom(2000)
                server.sendto(data[: number % 7], address)
                client.recv(2000)
                sizes[20_000 + number] = number % 1200
    return sizes


def flood(count: int) -> None:
    """Of flows that are refused, each from a port of its own."""
    for number in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind(("127.0.0.1", 2000 + number % 60_000))
            client.sendto(b"x", ("127.0.0.1", 999))


def records(folder: Path) -> list[dict[str, Any]]:
    """Of all batches, in their order."""
    assert not list(folder.glob("*.part"))
    lines = [line for path in sorted(folder.glob("*.ndjson")) for line in path.open()]
    return [json.loads(line) for line in lines]


def of(told: Sequence[dict[str, Any]], protocol: str) -> list[dict[str, Any]]:
    return [r for r in told if r.get("protocol") == protocol]
