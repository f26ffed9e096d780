"""A controller is killed at each step of a create; the next one finishes what it finds."""

import contextlib
from collections.abc import AsyncIterator

from tests.integration.deaths.lives import MortalStack, commits
from tests.integration.deaths.scene import BORN, Scene
from tests.integration.quotas.books import SMALL
from tests.integration.simulated_worker import SimulatedWorker


async def test_a_create_that_is_sent_again(stack: MortalStack, scene: Scene) -> None:
    """Under the same key it makes one bunker, and what died holding its only place is no hindrance."""
    await scene.books.cap(max_concurrent_bunkers=1)
    async for life in stack.lives():
        create = {"json": SMALL, "headers": {"Idempotency-Key": f"key-{life.last}"}}
        async with stack.led(life):
            first = await stack.dying("POST", "/bunkers", **create)
        with life.named():
            await scene.lease_is_over()
            again = await stack.data_of("POST", "/bunkers", **create)
            if first is not None:
                assert first.json()["data"]["id"] == again["id"]
            await scene.agrees({again["id"]})
            await scene.end({again["id"]})
    assert set(life.taken) >= BORN
    assert commits(life, "scaibunker_bunkers") == 3
    assert commits(life, "idempotency_keys") == 2


async def test_a_create_that_is_given_up(stack: MortalStack, scene: Scene) -> None:
    """What was begun is finished or left, and the place in the quota is free in the end if it is left."""
    await scene.books.cap(max_concurrent_bunkers=1)
    async for life in stack.lives():
        async with stack.led(life):
            answer = await stack.dying("POST", "/bunkers", json=SMALL)
        with life.named():
            alive = await scene.settled()
            if answer is not None:
                assert alive == {answer.json()["data"]["id"]}
            await scene.a_minute_later()
            await scene.agrees(alive)
            another = await stack.call("POST", "/bunkers", json=SMALL)
            assert another.status_code == (429 if alive else 201), another.text
            await scene.end(await scene.settled())
    assert set(life.taken) >= BORN


async def test_a_create_that_makes_the_counters_anew(stack: MortalStack, scene: Scene) -> None:
    """Redis was wiped; the bunker that was there counts whoever gets how far with counting it."""
    await scene.books.cap(max_concurrent_bunkers=2)
    old = (await stack.create(**SMALL))["id"]
    async for life in stack.lives():
        await scene.books.wipe()
        create = {"json": SMALL, "headers": {"Idempotency-Key": f"key-{life.last}"}}
        async with stack.led(life):
            await stack.dying("POST", "/bunkers", **create)
        with life.named():
            await scene.lease_is_over()
            await scene.lock_is_over()
            new = (await stack.data_of("POST", "/bunkers", **create))["id"]
            refused = await stack.call("POST", "/bunkers", json=SMALL)
            assert refused.status_code == 429, refused.text
            await scene.agrees({old, new})
            await stack.data_of("DELETE", f"/bunkers/{new}")
    assert set(life.taken) >= BORN | {"CLEAR", "PUT_BACK", "GO_ON", "FINISH"}
    assert commits(life, "scaibunker_quota_epoch") == 1


async def test_a_create_that_its_first_worker_cannot_build(
    stack: MortalStack, scene: Scene, worker: SimulatedWorker
) -> None:
    """It goes to another one, and no machine stays behind."""
    worker.boot = "failed"
    async with other_worker() as other:
        scene.workers.append(other)
        async for life in stack.lives():
            await scene.beat()
            async with stack.led(life):
                answer = await stack.dying("POST", "/bunkers", json=SMALL)
            with life.named():
                alive = await scene.settled()
                assert set(other.machines) == alive
                if answer is not None:
                    assert alive == {answer.json()["data"]["id"]}
                await scene.a_minute_later()
                await scene.agrees(alive)
                await scene.end(alive)
    assert commits(life, "scaibunker_workers") == 2


@contextlib.asynccontextmanager
async def other_worker() -> AsyncIterator[SimulatedWorker]:
    """One that is chosen second."""
    made = SimulatedWorker("wrk_another")
    await made.start()
    yield made
    await made.stop()
