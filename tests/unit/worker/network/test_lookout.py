"""The lookout tells changes, each until it is in force, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.lookout import Lookout
from scaibunker.worker.network.never import Never, networks
from tests.waiting import until

ONE, TWO = Never(networks("203.0.113.1/32")), Never(networks("203.0.113.2/32"))


class Scene:
    """How things are, and what was told of them."""

    def __init__(self) -> None:
        self.never = ONE
        self.looks = 0
        self.told: list[Never] = []
        self.failures = 0
        self.blind = False

    async def gather(self) -> Never:
        self.looks += 1
        if self.blind:
            raise WorkerFault("cannot see")
        return self.never

    async def tell(self, never: Never) -> None:
        self.told.append(never)
        if self.failures:
            self.failures -= 1
            raise WorkerFault("nftables is not there")

    @asynccontextmanager
    async def lookout(self, every_s: float = 0.01) -> AsyncIterator[Lookout]:
        lookout = Lookout(self.gather, self.tell, every_s)
        await lookout.start()
        try:
            yield lookout
        finally:
            await lookout.close()

    async def looked(self, times: int) -> None:
        begun = self.looks
        await until(lambda: self.looks >= begun + times)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_what_stays_is_not_told(scene: Scene) -> None:
    async with scene.lookout() as lookout:
        assert lookout.never == ONE
        await scene.looked(5)
    assert scene.told == []


async def test_a_change_is_told_once(scene: Scene) -> None:
    async with scene.lookout() as lookout:
        scene.never = TWO
        await until(lambda: bool(scene.told))
        await scene.looked(5)
        assert lookout.never == TWO
    assert scene.told == [TWO]


async def test_a_change_is_told_until_it_is_in_force(scene: Scene) -> None:
    scene.failures = 3
    async with scene.lookout():
        scene.never = TWO
        await until(lambda: len(scene.told) == 4)
        await scene.looked(5)
    assert scene.told == [TWO] * 4


async def test_a_blind_moment_changes_nothing(scene: Scene) -> None:
    async with scene.lookout() as lookout:
        scene.blind = True
        await scene.looked(3)
        assert lookout.never == ONE
        scene.blind, scene.never = False, TWO
        await until(lambda: scene.told == [TWO])


async def test_it_looks_at_once_when_it_is_hinted(scene: Scene) -> None:
    async with scene.lookout(every_s=3600) as lookout:
        scene.never = TWO
        lookout.hint()
        await until(lambda: scene.told == [TWO])


async def test_an_error_of_any_kind_does_not_end_it(scene: Scene) -> None:
    async def broken(never: Never) -> None:
        scene.told.append(never)
        raise RuntimeError("a fault of ours")

    lookout = Lookout(scene.gather, broken, 0.01)
    await lookout.start()
    try:
        scene.never = TWO
        await until(lambda: len(scene.told) > 2)
    finally:
        await lookout.close()


async def test_it_does_not_start_blind(scene: Scene) -> None:
    scene.blind = True
    lookout = Lookout(scene.gather, scene.tell)
    with pytest.raises(WorkerFault):
        await lookout.start()
    with pytest.raises(WorkerFault):
        _ = lookout.never
    await lookout.close()


async def test_a_first_look_may_come_before_the_start(scene: Scene) -> None:
    lookout = Lookout(scene.gather, scene.tell, 3600)
    assert await lookout.look() == ONE
    scene.never = TWO
    await lookout.start()
    try:
        lookout.hint()
        await until(lambda: scene.told == [TWO])
    finally:
        await lookout.close()
