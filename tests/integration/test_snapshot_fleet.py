"""Snapshots of real daemons on simulated hosts: from one to another, past deaths of daemons and a full store,
and at two replicas of the controller."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scaibunker.testing.host import SimulatedHost
from scaibunker.wire.codes import Code
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.snapshots.http_store import HttpStore
from tests.integration.conftest import Template
from tests.integration.fleets import Fleet, look_at_fleet, settled
from tests.integration.simulated_worker import IMAGE, TOKEN
from tests.integration.snapshots import objects_of, take, until_snapshot
from tests.integration.stack import Knobs, Stack, error_of
from tests.waiting import until

INTERVAL_S = 1.5
"""Seconds between heartbeats: three of them, and a busy host's worker would count as lost."""


@pytest.fixture
def template(mariadb_template: Template) -> Template:
    """What many do at once is a matter of production's database."""
    return mariadb_template


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(heartbeat_interval_s=INTERVAL_S, request_timeout_s=5)


class Store(HttpStore):
    """Through the controller, as always; but before that what a test says."""

    before: Callable[[str], Awaitable[None]] | None = None

    async def put(self, name: str, chunks: AsyncIterator[bytes], *, size: int, sha256: str) -> None:
        if self.before is not None:
            await self.before(name)
        await super().put(name, chunks, size=size, sha256=sha256)


@pytest.fixture
def store(bare: Stack) -> Store:
    return Store(str(bare.client.base_url), TOKEN)


@pytest.fixture
async def fleet(bare: Stack, tmp_path: Path, store: Store) -> AsyncIterator[Fleet]:
    """Two hosts; in the end they run what the rows say."""
    made = [
        SimulatedHost(
            tmp_path / "hosts",
            name,
            controller_url=str(bare.client.base_url),
            token=TOKEN,
            images={IMAGE: 1 << 30},
            heartbeat_interval_s=INTERVAL_S,
        )
        for name in ("one", "two")
    ]
    for host in made:
        host.hardware.store = store
    await asyncio.gather(*(host.start() for host in made))

    async def all_online() -> bool:
        return len(await bare.data_of("GET", "/workers", "super_admin")) == len(made)

    await until(all_online)
    await look_at_fleet(bare)
    found = {host.id: host for host in made}
    try:
        yield found
        await settled(bare, found)
    finally:
        await asyncio.gather(*(host.close() for host in made))


async def written(stack: Stack, bunker: str, content: bytes) -> None:
    path = f"/bunkers/{bunker}/files"
    answer = await stack.call("PUT", path, params={"path": "/home/a"}, content=content)
    assert answer.status_code < 300, answer.text


async def read(stack: Stack, bunker: str) -> bytes:
    answer = await stack.call("GET", f"/bunkers/{bunker}/files", params={"path": "/home/a"})
    return answer.content


async def test_a_copy_goes_on_on_another_worker(bare: Stack, fleet: Fleet) -> None:
    first = await bare.create()
    await written(bare, first["id"], b"kept")
    made = await take(bare, first["id"], kind="full")
    await until_snapshot(bare, made["id"], status="ready")
    await bare.until_status(first["id"], "running")
    await written(bare, first["id"], b"later")
    path = f"/workers/{first['worker_id']}"
    await bare.data_of("POST", f"{path}/drain", "super_admin")
    second = await bare.create(image=None, snapshot_id=made["id"])
    assert second["worker_id"] != first["worker_id"]
    assert await read(bare, second["id"]) == b"kept"
    assert await read(bare, first["id"]) == b"later"
    await bare.data_of("POST", f"{path}/resume", "super_admin")


async def test_a_store_that_is_full(bare: Stack, fleet: Fleet, store: Store) -> None:
    async def full(name: str) -> None:
        if name.endswith("manifest.json"):
            raise WorkerFault("object storage is full", Code.STORAGE_FULL)

    bunker = await bare.create()
    store.before = full
    made = await take(bare, bunker["id"])
    failed = await until_snapshot(bare, made["id"], status="failed")
    assert failed["status_reason"] == "object storage is full"
    await until(lambda: objects_of(bare, made["id"]) == set())
    store.before = None
    again = await take(bare, bunker["id"])
    await until_snapshot(bare, again["id"], status="ready")
    await bare.until_status(bunker["id"], "running")


@pytest.mark.parametrize("comes_back", [True, False], ids=["restarted", "lost"])
async def test_a_daemon_that_dies_while_it_stores(
    bare: Stack, fleet: Fleet, store: Store, comes_back: bool
) -> None:
    storing = asyncio.Event()

    async def hang(_: str) -> None:
        storing.set()
        await asyncio.Event().wait()

    bunker = await bare.create()
    host = fleet[bunker["worker_id"]]
    store.before = hang
    made = await take(bare, bunker["id"])
    await storing.wait()
    await bare.until_status(bunker["id"], "running")
    await host.kill()
    if comes_back:
        await host.start()
    failed = await until_snapshot(bare, made["id"], status="failed")
    reasons = ["its worker went silent before it was stored"]
    if comes_back:  # it may have taken a busy host too long to come back
        reasons.append("its worker was restarted before it was stored")
    assert failed["status_reason"] in reasons
    assert await bare.status(bunker["id"]) == "running"
    if not comes_back:
        await host.start()


async def test_two_replicas_and_no_redis_between(bare: Stack, fleet: Fleet) -> None:
    """One begins it, the other hears of it, and what Redis holds is lost meanwhile."""
    other = Stack(
        bare.data, bare.database_settings, bare.redis_settings, bare.keys, replace(bare.knobs)
    )
    await other.start()
    try:
        bunker = await bare.create()
        first = await take(other, bunker["id"])
        await bare.grid.live.client.flushdb()
        await until_snapshot(bare, first["id"], status="ready")
        await other.until_status(bunker["id"], "running")
        both = await asyncio.gather(
            *(
                each.call("POST", f"/bunkers/{bunker['id']}/snapshot", json={"kind": "disk"})
                for each in (bare, other)
            )
        )
        codes = sorted(answer.status_code for answer in both)
        assert codes in ([202, 409], [202, 202])
        for answer in both:
            if answer.status_code == 202:
                await until_snapshot(bare, answer.json()["data"]["id"], status="ready")
            else:
                assert error_of(answer)[1] == "BUNKER_INVALID_TRANSITION"
        ended = await other.data_of(
            "DELETE", f"/bunkers/{bunker['id']}", params={"snapshot": "true"}
        )
        assert ended["status"] == "terminated"
        for each in await bare.data_of("GET", "/snapshots"):
            assert each["status"] == "ready"
            await other.data_of("DELETE", f"/snapshots/{each['id']}")
        await bare.run_task("scaibunker.clean_up_snapshots")
        await bare.run_task("scaibunker.clean_up_snapshots")  # bases after what builds on them
        assert list((bare.data / "objects/scaibunker/snapshots").rglob("*.*")) == []
    finally:
        await other.stop()
