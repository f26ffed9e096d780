"""Standing in line: nobody is overtaken, nobody waits for ever."""

import asyncio

import pytest

from scaigrid.db.errors import DatabaseBusy
from scaigrid.db.turns import Turns


async def test_first_come_first_served() -> None:
    turns = Turns(1, 5)
    served: list[int] = []

    all_here = asyncio.Event()

    async def use(number: int) -> None:
        async with turns:
            served.append(number)
            await all_here.wait()

    async def greedy() -> None:
        for _ in range(3):
            await use(0)

    coming = [asyncio.create_task(each) for each in (greedy(), use(1), use(2))]
    await asyncio.sleep(0)
    all_here.set()
    await asyncio.gather(*coming)
    assert served == [0, 1, 2, 0, 0]


async def test_who_waits_too_long_is_sent_away_and_takes_no_place() -> None:
    turns = Turns(1, 0.01)
    async with turns:
        with pytest.raises(DatabaseBusy):
            async with turns:
                raise AssertionError
    async with turns:
        pass


async def test_a_place_is_given_back_whatever_happens() -> None:
    turns = Turns(1, 5)
    with pytest.raises(ValueError, match="x"):
        async with turns:
            raise ValueError("x")
    waiting = asyncio.create_task(turns.__aenter__())
    async with asyncio.timeout(60):
        await waiting
    stuck = asyncio.create_task(turns.__aenter__())
    await asyncio.sleep(0)
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    await turns.__aexit__()
    async with asyncio.timeout(60), turns:
        pass
