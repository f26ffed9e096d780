"""Workers learn the addresses of the deployment's other hosts, and keep them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from scaibunker.controller.workers.replicas import FORGOTTEN_AFTER, own_addresses
from scaibunker.controller.workers.tables import controllers
from scaibunker.testing.host import SimulatedHost
from scaibunker.wire.worker.heartbeat import HeartbeatAnswer
from scaibunker.wire.worker.vicinity import VicinityChange, digest_of
from scaigrid.operation import system_operation
from tests.integration.simulated_worker import IMAGE, TOKEN, SimulatedWorker
from tests.integration.stack import Knobs, Stack
from tests.waiting import until

OPERATORS = "192.0.2.128/25"


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(heartbeat_interval_s=0.3, workers={"worker_never_reached": [OPERATORS]})


async def told(
    stack: Stack, worker: SimulatedWorker, digest: str | None = ""
) -> VicinityChange | None:
    """What a heartbeat is answered that has the list of that name."""
    report = worker.heartbeat().model_copy(update={"vicinity": digest})
    response = await worker.send(stack.client, report)
    assert response.status_code == 200, response.text
    return HeartbeatAnswer.model_validate_json(response.content).vicinity


async def until_told(stack: Stack, worker: SimulatedWorker, *addresses: str) -> VicinityChange:
    """The whole list, once these are in it."""
    found: list[VicinityChange] = []

    async def complete() -> bool:
        change = await told(stack, worker)
        if change is not None and set(addresses) <= set(change.added):
            found.append(change)
        return bool(found)

    await until(complete)
    return found[0]


async def test_a_worker_is_told_of_the_others_and_of_the_controller(
    bare: Stack, worker: SimulatedWorker
) -> None:
    worker.addresses = ["203.0.113.1"]
    other = SimulatedWorker("wrk_other")
    await other.start()
    try:
        other.addresses = ["203.0.113.2", "2001:db8::2"]
        await other.beat(bare.client)
        change = await until_told(bare, worker, "203.0.113.2", "2001:db8::2", "203.0.113.1")
    finally:
        await other.stop()
    assert change.base is None
    assert OPERATORS in change.added
    assert own_addresses() <= set(change.added)
    assert change.digest == digest_of(change.added)
    assert not any(address.startswith("127.") for address in change.added)


async def test_it_is_told_once_and_then_what_has_changed(
    bare: Stack, worker: SimulatedWorker
) -> None:
    worker.addresses = ["203.0.113.1"]
    first = await until_told(bare, worker, "203.0.113.1")
    assert await told(bare, worker, first.digest) is None
    worker.addresses = ["203.0.113.9"]
    change: list[VicinityChange] = []

    async def moved() -> bool:
        answer = await told(bare, worker, first.digest)
        change.extend([answer] if answer else [])
        return bool(change)

    await until(moved)
    assert (change[0].base, change[0].added, change[0].removed) == (
        first.digest,
        ["203.0.113.9"],
        ["203.0.113.1"],
    )


async def test_a_worker_that_keeps_no_list_is_sent_none(
    bare: Stack, worker: SimulatedWorker
) -> None:
    await until_told(bare, worker, OPERATORS)
    assert await told(bare, worker, None) is None


async def test_addresses_of_all_replicas_are_closed_until_they_are_forgotten(
    bare: Stack, worker: SimulatedWorker
) -> None:
    op = system_operation("tests", bare.grid.clock)
    async with bare.grid.database.write() as db:
        now = op.now()
        await db.execute(insert(controllers).values(address="203.0.113.80", seen_at=now))
        long_ago = now - FORGOTTEN_AFTER - timedelta(seconds=1)
        await db.execute(insert(controllers).values(address="203.0.113.81", seen_at=long_ago))
    other = Stack(
        bare.data, bare.database_settings, bare.redis_settings, bare.keys, replace(bare.knobs)
    )
    await other.start()
    try:
        change = await until_told(other, worker, "203.0.113.80")
    finally:
        await other.stop()
    assert "203.0.113.81" not in change.added
    async with bare.grid.database.write() as db:  # it is written over, not made twice
        assert await db.execute(update(controllers).values(seen_at=op.now())) >= 1


@pytest.fixture
async def hosts(bare: Stack, tmp_path: Path) -> AsyncIterator[list[SimulatedHost]]:
    """Real daemons that have not started yet."""
    made = [
        SimulatedHost(
            tmp_path / "hosts",
            f"host{number}",
            controller_url=str(bare.client.base_url),
            token=TOKEN,
            images={IMAGE: 1 << 20},
            heartbeat_interval_s=0.3,
        )
        for number in range(3)
    ]
    for number, host in enumerate(made):
        host.hardware.addresses = [f"203.0.113.{number}", f"10.9.0.{number}", "fe80::1"]
    yield made
    for host in made:
        await host.close()


async def test_daemons_close_each_others_hosts_and_remember_them(
    bare: Stack, hosts: list[SimulatedHost]
) -> None:
    wanted = {f"203.0.113.{n}" for n in range(3)} | {f"10.9.0.{n}" for n in range(3)}
    for host in hosts:
        await host.start()
    await until(lambda: all(wanted <= set(h.hardware.peers.addresses) for h in hosts))
    assert len({host.hardware.peers.digest for host in hosts}) == 1
    assert "fe80::1" not in hosts[0].hardware.peers.addresses

    # A daemon that starts while there is no controller closes them all the same.
    before = hosts[0].hardware.peers
    await hosts[0].kill()
    await bare.stop()
    await hosts[0].start()
    after = hosts[0].hardware.peers
    assert after is not before
    assert wanted <= set(after.addresses)
