"""A controller is killed at each step of the end of a bunker, whoever or whatever ends it."""

import contextlib
from collections.abc import AsyncIterator

import httpx
from sqlalchemy import update

from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.quotas.drift import GRACE_S
from scaibunker.wire.worker.machines import MachineState
from tests.integration.deaths.lives import MortalStack, commits
from tests.integration.deaths.scene import GONE, Scene
from tests.integration.inside import whole
from tests.integration.quotas.books import SMALL
from tests.integration.simulated_worker import SimulatedWorker, beating
from tests.integration.stack import Knobs, Stack


async def test_the_end_of_a_bunker(stack: MortalStack, scene: Scene) -> None:
    """Once it has begun it needs no word from the client. One who asks again is told when nothing is held
    any more, though whoever ended it died before Redis was told."""
    await scene.books.cap(max_concurrent_bunkers=1)
    async for life in stack.lives():
        bunker_id = (await stack.create(**SMALL))["id"]
        async with stack.led(life):
            answer = await stack.dying("DELETE", f"/bunkers/{bunker_id}")
        with life.named():
            alive = await scene.settled()
            if answer is not None:
                assert answer.json()["data"]["status"] == "terminated"
                assert not alive
            await scene.end({bunker_id})
    assert set(life.taken) >= GONE
    assert commits(life, "scaibunker_bunkers") == 2


async def test_an_end_whose_client_has_gone(stack: MortalStack, scene: Scene) -> None:
    """What it leaves held is nobody's in a minute."""
    async for life in stack.lives():
        bunker_id = (await stack.create(**SMALL))["id"]
        async with stack.led(life):
            await stack.dying("DELETE", f"/bunkers/{bunker_id}")
        with life.named():
            alive = await scene.settled()
            assert alive <= {bunker_id}
            await scene.a_minute_later()
            await scene.agrees(alive)
            await scene.end(alive)


async def test_a_bunker_whose_machine_is_lost(
    stack: MortalStack, scene: Scene, worker: SimulatedWorker
) -> None:
    """Whoever hears of it dies."""
    async for life in stack.lives():
        bunker_id = (await stack.create(**SMALL))["id"]
        worker.become(bunker_id, MachineState.FAILED, "the kernel panicked")
        async with stack.led(life):
            with contextlib.suppress(httpx.TransportError):
                await worker.beat(stack.client)
        with life.named():
            async with beating(worker, stack.client):
                await stack.until_status(bunker_id, "failed")
            await scene.a_minute_later()
            await scene.end(set())
    assert set(life.taken) >= GONE


async def test_a_life_beside_a_replica_that_goes_on(stack: MortalStack, scene: Scene) -> None:
    """Either does the next step, whoever comes to it first; the worker reports to the one that lives."""
    await scene.books.cap(max_concurrent_bunkers=1)
    async with replica(stack) as other:
        scene.hears = other
        async for life in stack.lives():
            async with stack.led(life):
                made = await stack.dying("POST", "/bunkers", json=SMALL)
                if made is not None:
                    bunker_id = made.json()["data"]["id"]
                    await other.until_status(bunker_id, "running")
                    await stack.dying("DELETE", f"/bunkers/{bunker_id}")
            with life.named():
                alive = await scene.settled()
                await scene.a_minute_later()
                await scene.agrees(alive)
                await scene.end(alive)
    assert "HOLD" in life.taken
    assert commits(life, "scaibunker_bunkers") >= 2


@contextlib.asynccontextmanager
async def replica(stack: Stack) -> AsyncIterator[Stack]:
    """Another controller, in this process."""
    made = Stack(stack.data, stack.database_settings, stack.redis_settings, stack.keys, Knobs())
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def test_ending_what_has_lived_long_enough(stack: MortalStack, scene: Scene) -> None:
    async for life in stack.lives():
        bunker_id = (await stack.create(**SMALL))["id"]
        async with stack.led(life):
            async with stack.grid.database.write() as db:
                await db.execute(whole(update(bunkers)).values(expires_at=bunkers.c.created_at))
            await stack.task("scaibunker.sweep_timeouts")
        with life.named():
            await stack.run_task("scaibunker.sweep_timeouts")
            await stack.until_status(bunker_id, "terminated")
            await scene.a_minute_later()
            await scene.end(set())
    assert set(life.taken) >= GONE
    assert commits(life, "scaibunker_bunkers") >= 2  # the reconciler's timer may see it too


async def test_mending_what_was_counted(stack: MortalStack, scene: Scene) -> None:
    bunker_id = (await stack.create(**SMALL))["id"]
    counters = scene.books.counters
    client, key = stack.grid.live.client, stack.grid.live.key
    async for life in stack.lives():
        [stash] = (await counters.stashes()).values()
        await client.rename(key("quota", "bunker", bunker_id), key("quota", "bunker", "bnk_x"))
        await client.hset(key("quota", "bunker", "bnk_x"), "at", stash.at - GRACE_S - 1)
        async with stack.led(life):
            await stack.task("scaibunker.mend_holds")
        with life.named():
            await stack.run_task("scaibunker.mend_holds")
            await scene.agrees({bunker_id})
    assert set(life.taken) >= {"PUT_BACK", "LET_GO"}
