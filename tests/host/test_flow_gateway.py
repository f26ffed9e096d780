"""Flows of a machine whose gateway is killed, from the kernel to storage."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scaibunker.worker.gateway.attachment import Sockets
from scaibunker.worker.gateway.client import GatewayClient
from scaibunker.worker.network import flow_sockets
from scaibunker.worker.network.audit.folders import Folders
from scaibunker.worker.network.audit.uploader import Uploader
from scaibunker.worker.network.policy import Passage, Policy
from tests.host.flows import make_udp_flows, open_sockets, prepare
from tests.host.gateway_daemon import around, home
from tests.host.own_namespace import Namespace, namespace
from tests.waiting import until

BUNKER = "bnk_flows"
POLICY = Policy(Passage.OPEN, bandwidth_mbit=100, audited=True)
BEFORE, AFTER = 300, 200


class Store:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def put(self, name: str, chunks: AsyncIterator[bytes], *, size: int, sha256: str) -> None:
        assert name not in self.objects
        self.objects[name] = b"".join([chunk async for chunk in chunks])

    def records(self) -> list[dict[str, Any]]:
        lines = b"".join(self.objects[name] for name in sorted(self.objects))
        return [json.loads(line) for line in lines.splitlines()]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[GatewayClient]:
    made = GatewayClient(home(tmp_path))
    made.start()
    try:
        yield made
    finally:
        await made.stop()


def on_disk(client: GatewayClient) -> int:
    """Lines of all batches."""
    folder = client.spools / BUNKER
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.ndjson*"))


async def flows(space: Namespace, count: int) -> None:
    await asyncio.to_thread(space.inside, lambda: make_udp_flows(count))
    await asyncio.to_thread(space.inside, flow_sockets.end_flows)


async def test_what_a_killed_gateway_had_written_is_stored_and_the_gap_is_told(
    client: GatewayClient,
) -> None:
    store = Store()
    with namespace() as space:
        prepare(space).close()
        opened: list[Sockets] = []

        async def open_again() -> Sockets:
            opened.append(open_sockets(space))
            return opened[-1]

        await client.surroundings(around())
        await client.attach("m", BUNKER, POLICY, open_again)
        await flows(space, BEFORE)
        await until(lambda: on_disk(client) == BEFORE)
        pid = client.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: client.pid not in (None, pid) and len(opened) == 2)
        await client.change("m", BUNKER, POLICY)  # it is attached again when this returns
        await flows(space, AFTER)
        await client.detach("m")
    bringing = Uploader(Folders(client.spools), store, lambda: ())
    await bringing.bring()
    await bringing.bring()
    assert bringing.pending == 0
    told = store.records()
    assert [r["reason"] for r in told if "dropped" in r] == ["restart"]
    assert [r["dropped"] for r in told if "dropped" in r] == [None]
    assert len(told) == BEFORE + AFTER + 1
    assert {name.partition("/")[0] for name in store.objects} == {BUNKER}
    assert len({name.rpartition("-")[2] for name in store.objects}) == 2  # of two processes


async def test_what_was_written_is_stored_of_a_machine_that_no_gateway_serves_again(
    client: GatewayClient,
) -> None:
    store = Store()
    with namespace() as space:
        prepare(space).close()

        async def opened() -> Sockets:
            return open_sockets(space)

        await client.surroundings(around())
        await client.attach("m", BUNKER, POLICY, opened)
        await flows(space, BEFORE)
        await until(lambda: on_disk(client) == BEFORE)
        pid = client.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await client.close()  # and its daemon with it
        client._wanted.clear()
    client.start()
    await client.attached()  # the next one is ready
    await Uploader(Folders(client.spools), store, lambda: ()).bring()
    assert len(store.records()) == BEFORE
