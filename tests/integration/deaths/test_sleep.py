"""A controller is killed at each step of a pause, of the way to sleep, and of the way back."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.worker.snapshots.store import LocalStore
from tests.integration.deaths.lives import Life, MortalStack, commits
from tests.integration.deaths.scene import Scene
from tests.integration.inside import whole
from tests.integration.quotas.books import SMALL
from tests.integration.simulated_worker import SimulatedWorker, beating
from tests.integration.snapshots import chains_hold
from tests.waiting import until

PERSISTENT = {**SMALL, "lifecycle_mode": "persistent"}


@dataclass
class Sleeper:
    """A bunker that falls asleep and is woken."""

    stack: MortalStack
    scene: Scene

    async def idle(self, bunker_id: str) -> None:
        """Nobody has used it for long."""
        long_ago = self.stack.grid.clock.now() - timedelta(days=1)
        this = update(bunkers).where(bunkers.c.id == bunker_id)
        async with self.stack.grid.database.write() as db:
            await db.execute(whole(this.values(last_activity_at=long_ago)))

    async def asleep_or_dead(self, bunker_id: str, life: Life) -> None:
        async def either() -> bool:
            await self.idle(bunker_id)  # what used it last may be written only now
            return await self.stack._is_dead(life) or await self.is_asleep(bunker_id)

        await until(either)

    async def asleep(self, bunker_id: str) -> None:
        """Wait until it is; then nothing runs, and what is held is what sleeps."""

        async def is_so() -> bool:
            await self.idle(bunker_id)
            await self.scene.beat()
            return await self.is_asleep(bunker_id)

        await until(is_so)
        await self.scene.beat()
        assert not any(worker.machines for worker in self.scene.workers)
        await self.scene.a_minute_later()
        await self.scene.books.agree()
        chains_hold(self.stack.data / "objects/scaibunker/snapshots")

    async def is_asleep(self, bunker_id: str) -> bool:
        query = select(bunkers.c.passivated).where(bunkers.c.id == bunker_id)
        async with self.stack.grid.database.read() as db:
            return bool(await db.value(whole(query)))

    async def awake(self, bunker_id: str) -> None:
        """Whoever uses it wakes it; then nothing of its sleep is left."""
        async with beating(self.scene.workers[0], self.stack.client):
            path, body = f"/bunkers/{bunker_id}/exec", {"command": "hello"}
            done = await self.stack.data_of("POST", path, json=body)
        assert done["stdout"] == "hello"
        await self.scene.agrees({bunker_id})


@pytest.fixture
def sleeper(stack: MortalStack, scene: Scene, worker: SimulatedWorker) -> Sleeper:
    folder = stack.program.folder / "objects/scaibunker/snapshots"
    worker.snapshots.store = LocalStore(folder)  # storage does not die with the controller
    return Sleeper(stack, scene)


async def test_a_pause_and_a_resume(
    stack: MortalStack, scene: Scene, worker: SimulatedWorker
) -> None:
    """What was begun comes to its end: the machine is what the row says."""
    bunker_id = (await stack.create(**SMALL))["id"]
    async for life in stack.lives():
        async with stack.led(life):
            for verb in ("pause", "resume"):
                if await stack.dying("POST", f"/bunkers/{bunker_id}/{verb}") is None:
                    break
        with life.named():
            await scene.agrees({bunker_id})
            status = await stack.status(bunker_id)
            assert worker.machines[bunker_id].state == status
            if status == "paused":
                await stack.data_of("POST", f"/bunkers/{bunker_id}/resume")
    assert life.taken.count("PUT /v1/machines/bnk/power") >= 2


async def test_a_bunker_that_falls_asleep(
    stack: MortalStack, scene: Scene, sleeper: Sleeper, worker: SimulatedWorker
) -> None:
    """It sleeps in the end, and there is one of it all the time."""
    bunker_id = (await stack.create(**PERSISTENT))["id"]
    async for life in stack.lives(4):
        async with stack.led(life):
            await sleeper.asleep_or_dead(bunker_id, life)
        with life.named():
            await sleeper.asleep(bunker_id)
            await sleeper.awake(bunker_id)
    assert "RESIZE" in life.taken
    assert "POST /v1/machines/bnk/snapshot" in life.taken
    assert commits(life, "scaibunker_bunkers") >= 5


async def test_a_bunker_that_is_woken(
    stack: MortalStack, scene: Scene, sleeper: Sleeper, worker: SimulatedWorker
) -> None:
    """What was begun is finished, whoever asks for it."""
    bunker_id = (await stack.create(**PERSISTENT))["id"]
    async for life in stack.lives(3):
        await sleeper.asleep(bunker_id)
        async with stack.led(life):
            await stack.dying("POST", f"/bunkers/{bunker_id}/resume")
        with life.named():
            await sleeper.awake(bunker_id)
    assert "RESIZE" in life.taken
    assert "PUT /v1/machines/bnk" in life.taken
    assert commits(life, "scaibunker_bunkers") >= 4
