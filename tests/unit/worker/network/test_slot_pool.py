"""The pool of slots: what is ready is given at once, and what is missing is made when it is calm."""

import asyncio
from ipaddress import IPv4Network, IPv6Network

import pytest

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import pool as pools
from scaibunker.worker.network.pool import Pool
from scaibunker.worker.network.ranges import Ranges
from scaibunker.worker.network.slot import Slot
from tests.waiting import until

RANGES = Ranges(IPv4Network("10.0.0.0/16"), IPv6Network("fd00::/64"))


class Workshop:
    def __init__(self) -> None:
        self.made: list[Slot] = []
        self.destroyed: list[Slot] = []
        self.broken = False

    async def make(self) -> Slot:
        await asyncio.sleep(0)
        if self.broken:
            raise WorkerFault("no room")
        number = len(self.made) + 1
        self.made.append(Slot(number, f"n{number}", f"l{number}", RANGES.facts(number, 1500, 9), 1))
        return self.made[-1]

    async def destroy(self, slot: Slot) -> None:
        self.destroyed.append(slot)


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr(pools, "CALM_S", 0.0)
    monkeypatch.setattr(pools, "RETRY_S", 0.0)
    return Workshop()


async def test_it_is_filled_and_filled_again(workshop: Workshop) -> None:
    pool = Pool(2, workshop.make, workshop.destroy)
    pool.start()
    pool.start()
    await until(lambda: len(pool) == 2)
    first = await pool.take()
    assert first is workshop.made[0]
    await until(lambda: len(pool) == 2)
    assert len(workshop.made) == 3
    await pool.close()
    assert workshop.destroyed == workshop.made[1:]


async def test_beyond_it_they_are_made_at_once(workshop: Workshop) -> None:
    pool = Pool(1, workshop.make, workshop.destroy)
    taken = await asyncio.gather(*(pool.take() for _ in range(5)))
    assert len({slot.number for slot in taken}) == 5
    await pool.close()
    assert workshop.destroyed == []


async def test_what_cannot_be_made_is_tried_again(workshop: Workshop) -> None:
    workshop.broken = True
    pool = Pool(2, workshop.make, workshop.destroy)
    pool.start()
    with pytest.raises(WorkerFault, match="no room"):
        await pool.take()
    workshop.broken = False
    await until(lambda: len(pool) == 2)
    await pool.close()


async def test_none_is_made_while_others_are_taken(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(3, workshop.make, workshop.destroy)
    pool.start()
    await until(lambda: len(pool) == 3)
    monkeypatch.setattr(pools, "CALM_S", 3600.0)
    await pool.take()
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(workshop.made) == 3
    await pool.take()
    await pool.take()  # the last: nobody can wait now
    await until(lambda: len(pool) == 3)
    await pool.close()
