"""Flows of real machines, from a program in the guest to the records that its owner reads."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from scaibunker.sdk import Client, FlowRecord, LossRecord
from tests.e2e.stack import Api, DevStack, error_code
from tests.host.own_namespace import Namespace, namespace
from tests.waiting import wait_until

FLOWS = 10_000
FIRST_PORT = 20_000
HEADERS = 28
ECHO = 7
RULES = f"""
table ip world {{
  chain in {{ type nat hook prerouting priority -100
    udp dport {FIRST_PORT}-{FIRST_PORT + FLOWS - 1} redirect to :{ECHO}
  }}
}}
"""
OPEN_FLOWS = """
set -e
for ((n = 0; n < {count}; n++)); do
  printf '%*s' $((n % 50 + 1)) '' > /dev/udp/{world}/$(({first} + n))
  ((n % 40)) || sleep 0.1  # fewer in a second than the rules let begin
done
"""


class World:
    """A namespace of the test's own beside this host. `address` is in it, and answers what it is sent by UDP."""

    def __init__(self, space: Namespace, host: str) -> None:
        number = secrets.randbelow(256)
        self.link = host
        self.address = f"10.231.{number}.2"
        space.run("ip", "address", "add", f"{self.address}/30", "dev", "w0")
        space.run("ip", "link", "set", "w0", "up")
        space.run("nft", "-f", "-", given=RULES)
        run("ip", "address", "add", f"10.231.{number}.1/30", "dev", host)
        run("ip", "link", "set", host, "up")
        self._socket = space.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self._socket.bind(("0.0.0.0", ECHO))  # noqa: S104 - in a namespace of the test's own
        self._echoing = threading.Thread(target=self._echo, daemon=True)
        self._echoing.start()

    def close(self) -> None:
        self._socket.close()

    def _echo(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, peer = self._socket.recvfrom(2000)
                self._socket.sendto(data, peer)


def run(*command: str) -> None:
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    link = f"sbt{secrets.token_hex(4)}"
    with namespace() as space:
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "w0", "netns", space.path)
        try:
            made = World(space, link)
            yield made
            made.close()
        finally:
            run("ip", "link", "del", link)


@pytest.fixture(scope="module")
def admin(stack: DevStack) -> Iterator[Api]:
    with stack.client("tenant_admin") as http:
        yield Api(http)


@pytest.fixture(scope="module")
def sdk(stack: DevStack) -> Iterator[Client]:
    with Client(stack.url, stack.credentials["keys"]["tenant_admin"]) as client:
        yield client


def start_flows(api: Api, bunker: str, world: World, count: int, first: int = FIRST_PORT) -> str:
    script = OPEN_FLOWS.format(count=count, world=world.address, first=first)
    body = {"command": ["bash", "-c", script], "user": "root", "detach": True, "timeout_s": 600}
    answer = api.http.post(f"/bunkers/{bunker}/exec", json=body)
    assert answer.status_code == 202, answer.text
    exec_id: str = answer.json()["data"]["exec_id"]
    return exec_id


def wait_for(api: Api, bunker: str, exec_id: str) -> None:
    record: dict[str, Any] = {}

    def is_over() -> bool:
        record.update(api.http.get(f"/bunkers/{bunker}/execs/{exec_id}").json()["data"])
        return record["state"] != "running"

    wait_until(is_over, 400, every_s=0.5)
    assert (record["state"], record["exit_code"]) == ("exited", 0), record


def told(sdk: Client, bunker: str) -> list[FlowRecord | LossRecord]:
    return list(sdk.flows.list(bunker))


def to_world(sdk: Client, bunker: str, world: World) -> list[FlowRecord]:
    records = [r for r in told(sdk, bunker) if isinstance(r, FlowRecord)]
    return [r for r in records if r.destination_address == world.address]


def test_ten_thousand_flows_of_a_machine_are_ten_thousand_records(
    admin: Api, sdk: Client, world: World, stack: DevStack
) -> None:
    bunker = admin.create(network_profile="unrestricted")
    wait_for(admin, bunker, start_flows(admin, bunker, world, FLOWS))
    refused = admin.exec(bunker, ["bash", "-c", "echo > /dev/tcp/169.254.169.254/80"])
    assert refused["exit_code"] != 0
    admin.delete(bunker)
    wait_until(lambda: len(to_world(sdk, bunker, world)) >= FLOWS, 60, every_s=1)
    records = told(sdk, bunker)
    assert not [r for r in records if isinstance(r, LossRecord)]
    flows = to_world(sdk, bunker, world)
    assert sorted(r.destination_port or 0 for r in flows) == [FIRST_PORT + n for n in range(FLOWS)]
    for record in flows:
        size = ((record.destination_port or 0) - FIRST_PORT) % 50 + 1 + HEADERS
        assert (record.bytes_sent, record.packets_sent) == (size, 1)
        assert (record.bytes_received, record.packets_received) == (size, 1)
        assert (record.protocol, record.verdict, record.bunker_id) == ("udp", "allowed", bunker)
    [never] = [r for r in records if isinstance(r, FlowRecord) and r.verdict == "refused"]
    assert (never.destination_address, never.reason) == ("169.254.169.254", "never")

    names = paged(admin, bunker)
    assert names == sorted(names)
    assert names == paged(admin, bunker, limit=1)
    with stack.client("user") as other:
        hidden = other.get(f"/bunkers/{bunker}/audit-batches/{names[0]}")
        assert error_code(hidden) == "BUNKER_NOT_FOUND"


def paged(api: Api, bunker: str, **query: Any) -> list[str]:
    names: list[str] = []
    while True:
        answer = api.http.get(f"/bunkers/{bunker}/audit-batches", params=query).json()
        names += [batch["name"] for batch in answer["data"]]
        if answer["next_continuation_token"] is None:
            return names
        query["continuation_token"] = answer["next_continuation_token"]


def test_flows_are_recorded_while_the_worker_daemon_is_down(
    admin: Api, sdk: Client, world: World, stack: DevStack
) -> None:
    bunker = admin.create(network_profile="unrestricted")
    wait_for(admin, bunker, start_flows(admin, bunker, world, 20))
    started = start_flows(admin, bunker, world, 1000, FIRST_PORT + 1000)
    os.kill(stack.worker_pid(), signal.SIGKILL)
    wait_for(admin, bunker, started)
    admin.delete(bunker)
    wait_until(lambda: len(to_world(sdk, bunker, world)) == 1020, 60, every_s=1)
    assert not [r for r in told(sdk, bunker) if isinstance(r, LossRecord)]
