"""A controller is killed at each step of a snapshot, of its deletion, and of an end with one."""

from typing import Any

import pytest

from scaibunker.worker.snapshots.store import LocalStore
from tests.integration.deaths.lives import MortalStack
from tests.integration.deaths.scene import Scene
from tests.integration.quotas.books import SMALL
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.snapshots import objects_of
from tests.waiting import until

CLEAN_UP = "scaibunker.clean_up_snapshots"


@pytest.fixture(autouse=True)
def store(stack: MortalStack, worker: SimulatedWorker) -> None:
    """The worker's way to storage does not die."""
    worker.snapshots.store = LocalStore(stack.data / "objects/scaibunker/snapshots")


async def found(stack: MortalStack) -> list[dict[str, Any]]:
    """All snapshots, once none is being made."""
    made: list[dict[str, Any]] = []

    async def over() -> bool:
        made[:] = await stack.data_of("GET", "/snapshots")
        return all(each["status"] != "creating" for each in made)

    await until(over, what=lambda: f"an end of {made}")
    return made


async def dying_until_ready(stack: MortalStack, path: str) -> bool:
    """Whether a snapshot became ready before the process died."""
    while True:
        answer = await stack.dying("GET", path)
        if answer is None or answer.json()["data"]["status"] != "creating":
            return answer is not None


async def test_a_snapshot_and_its_deletion(
    stack: MortalStack, scene: Scene, worker: SimulatedWorker
) -> None:
    """The bunker goes on, what is ready is stored, and what is deleted leaves nothing."""
    bunker_id = (await stack.create(**SMALL))["id"]
    async for life in stack.lives():
        async with stack.led(life):
            made = await stack.dying(
                "POST", f"/bunkers/{bunker_id}/snapshot", json={"kind": "disk"}
            )
            if made is not None:
                path = f"/snapshots/{made.json()['data']['id']}"
                if await dying_until_ready(stack, path):
                    await stack.dying("DELETE", path)
        with life.named():
            await scene.agrees({bunker_id})
            for each in await found(stack):
                assert (each["status"], each["status_reason"]) == ("ready", None)
                assert objects_of(stack, each["id"]) == {"disk.zst", "manifest.json"}
                await stack.data_of("DELETE", f"/snapshots/{each['id']}")
            await stack.run_task(CLEAN_UP)
            stored = stack.data / "objects/scaibunker/snapshots"
            assert [path for path in stored.rglob("*") if path.is_file()] == []
            await worker.beat(stack.client)
            await until(lambda: worker.snapshots.known == {})
    assert set(life.taken) >= {"POST /v1/machines/bnk/snapshot", "DELETE /v1/snapshots/snp"}


async def test_an_end_with_a_snapshot(
    stack: MortalStack, scene: Scene, worker: SimulatedWorker
) -> None:
    """Once begun it comes to its end, without its caller too; and there is a snapshot of it."""
    async for life in stack.lives():
        bunker_id = (await stack.create(**SMALL))["id"]
        path, query = f"/bunkers/{bunker_id}", {"snapshot": "true"}
        async with stack.led(life):
            await stack.dying("DELETE", path, params=query)
        with life.named():
            alive = await scene.settled()
            made = await found(stack)
            assert (alive, len(made)) in ((set(), 1), ({bunker_id}, 0))
            ended = await stack.data_of("DELETE", path, params=query)
            assert ended["status"] == "terminated"
            [each] = await found(stack)
            assert each["status"] == "ready"
            await stack.data_of("DELETE", f"/snapshots/{each['id']}")
            await scene.a_minute_later()
            await scene.end(set())
    assert worker.machines == {}
    assert set(life.taken) >= {"POST /v1/machines/bnk/snapshot", "DELETE /v1/machines/bnk"}
