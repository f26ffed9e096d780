"""A bunker that sleeps wakes up on another worker, and its old machine is none."""

import asyncio
import contextlib
from pathlib import Path

from aiohttp import web

from scaibunker.testing.host import SimulatedHost
from scaibunker.wire.guest.execs import ExecStart
from scaibunker.worker.snapshots.store import LocalStore
from tests.integration.commands import Output, Vanish
from tests.integration.fleets import look_at_fleet
from tests.integration.passivation.sleepers import SIZE, Sleepers, another_worker, until_online
from tests.integration.quotas.books import Books
from tests.integration.refusals import refuse
from tests.integration.simulated_worker import IMAGE, TOKEN, SimulatedWorker
from tests.integration.stack import Stack, error_of
from tests.waiting import until


async def test_a_worker_is_emptied(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    """Those that can move sleep, and wake up elsewhere; the others go on."""
    stack = sleepers.stack
    moves, busy = await sleepers.one(), await sleepers.one()
    stays = (await stack.create(**SIZE))["id"]

    async def to_its_end(_: ExecStart, output: Output) -> None:
        await output.out(b"begun")
        await until(lambda: busy not in worker.machines, 60)
        raise Vanish

    worker.commands["forever"] = to_its_end
    running = asyncio.create_task(sleepers.exec(busy, command="forever", timeout_s=600))
    await until(lambda: bool(worker.machines[busy].execs))
    async with another_worker(stack) as other:
        await until_online(stack, other)
        path = f"/workers/{worker.worker_id}/drain"
        drained = await stack.data_of("POST", path, "super_admin", json={"passivate": True})
        assert drained["status"] == "draining"
        assert drained["emptied_since"] is not None
        await asyncio.gather(sleepers.asleep(moves), sleepers.asleep(busy))
        await until(lambda: set(worker.machines) == {stays})
        answer = await running
        assert error_of(answer) == (502, "WORKER_UNREACHABLE")  # it was in use for too long
        assert "had started" in answer.json()["error"]["message"]
        for each in (moves, busy):
            await sleepers.says_hello(each)
            assert (await sleepers.record(each))["worker_id"] == other.worker_id
        assert await stack.status(stays) == "running"
        resumed = await stack.data_of("POST", f"/workers/{worker.worker_id}/resume", "super_admin")
        assert resumed["emptied_since"] is None
        await sleepers.agree()


async def test_an_old_machine_is_not_taken_for_the_new_one(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    """Its worker could not be told that it sleeps, and still has it, frozen, when it is to wake there."""
    bunker = await sleepers.one()

    refused = 0

    async def no(_: web.Request) -> web.StreamResponse:
        nonlocal refused
        refused += 1
        return refuse(500, "INTERNAL_ERROR", "not now")

    worker.faults[f"DELETE /v1/machines/{bunker}"] = no
    worker.built.clear()
    old = worker.machines[bunker]
    await sleepers.put_to_sleep(bunker)
    await until(lambda: refused == 1)
    worker.machines[bunker] = old  # nor was the heartbeat's answer heard
    call = asyncio.create_task(sleepers.exec(bunker))
    await until(lambda: refused > 1)
    assert worker.built == []
    assert (await sleepers.record(bunker))["status"] == "paused"
    worker.faults.clear()
    answer = await call
    assert answer.status_code == 200, answer.text
    assert worker.machines[bunker] is not old


async def test_from_one_real_daemon_to_another(bare: Stack, tmp_path: Path) -> None:
    """What was in it is in it: its files, and the token that its agent knows it by."""
    store = LocalStore(bare.data / "objects/scaibunker/snapshots")
    async with contextlib.AsyncExitStack() as held:
        hosts: dict[str, SimulatedHost] = {}
        for name in ("one", "two"):
            host = SimulatedHost(
                tmp_path / "hosts",
                name,
                controller_url=str(bare.client.base_url),
                token=TOKEN,
                images={IMAGE: 1 << 30},
                heartbeat_interval_s=bare.knobs.heartbeat_interval_s,
            )
            host.hardware.store = store
            held.push_async_callback(host.close)
            await host.start()
            hosts[host.id] = host

        async def both_known() -> bool:
            return len(await bare.data_of("GET", "/workers", "super_admin")) == len(hosts)

        await until(both_known)
        await look_at_fleet(bare)
        sleepers = Sleepers(bare, SimulatedWorker(), Books(bare))
        bunker = await sleepers.one()
        path, query = f"/bunkers/{bunker}/files", {"path": "/home/bunker/kept"}
        await bare.data_of("PUT", path, params=query, content=b"what I was at")
        was = (await sleepers.record(bunker))["worker_id"]
        await bare.data_of("POST", f"/workers/{was}/drain?passivate=true", "super_admin")
        await sleepers.asleep(bunker)
        await until(lambda: not hosts[was].machines)
        found = await bare.call("GET", path, params=query)
        assert found.content == b"what I was at"
        now = (await sleepers.record(bunker))["worker_id"]
        assert now != was
        assert set(hosts[now].machines) == {bunker}
        assert await sleepers.alone() == []
        await sleepers.agree()
