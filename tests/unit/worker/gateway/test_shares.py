"""The loop's time in shares: who wants much waits, who wants little does not, and no time is lost."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaibunker.worker.gateway.shares import ROUND_S, LoopTime, Share


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Greedy:
    """Wants to do the next thing, of `costs` seconds, as soon as it is its turn."""

    def __init__(self, share: Share, costs: float, things: int = 1_000_000) -> None:
        self.share = share
        self._costs = costs
        self._things = things
        self.done = 0

    def go(self) -> None:
        while self.done < self._things and self.share.is_open:
            self.share.spend(self._costs)
            self.done += 1
        if self.done < self._things:
            self.share.wait(self.go)


async def rounds(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_who_is_alone_has_all_of_each_round() -> None:
    greedy = Greedy(LoopTime(Clock()).share(), ROUND_S / 4)
    greedy.go()
    assert greedy.done == 4
    await rounds(10)
    assert greedy.done == 44


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(ROUND_S / 100, ROUND_S * 3), min_size=2, max_size=12))
def test_all_that_are_greedy_get_the_same(costs: list[float]) -> None:
    """Whatever one thing of theirs costs."""

    async def shared() -> tuple[list[float], int]:
        loop_time = LoopTime(Clock())
        everybody = [Greedy(loop_time.share(), cost) for cost in costs]
        for one in everybody:
            one.go()
        await rounds(count := 200 * len(costs))
        return [one.done * cost for one, cost in zip(everybody, costs, strict=True)], count

    used, count = asyncio.run(shared())
    assert max(used) - min(used) <= ROUND_S + 2 * max(costs)
    assert sum(used) >= count * ROUND_S * 0.9


async def test_who_has_been_quiet_waits_for_nobody() -> None:
    loop_time, clock = LoopTime(clock := Clock()), clock
    greedy = [Greedy(loop_time.share(), ROUND_S) for _ in range(20)]
    quiet = loop_time.share()
    for one in greedy:
        one.go()
    await rounds(50)
    assert not any(one.share.is_open for one in greedy)
    for _ in range(10):
        clock.now += 2 * ROUND_S
        assert quiet.is_open
        quiet.spend(ROUND_S / 3)
        await rounds(2)


async def test_a_round_is_no_longer_for_all_that_want_it() -> None:
    loop_time = LoopTime(Clock())
    cost = ROUND_S / 2
    greedy = [Greedy(loop_time.share(), cost) for _ in range(40)]
    for one in greedy:
        one.go()
    await rounds(100)
    done = sum(one.done for one in greedy)
    await rounds(100)
    assert 90 * ROUND_S <= (sum(one.done for one in greedy) - done) * cost <= 110 * ROUND_S


async def test_what_is_owed_is_not_forgotten_by_being_idle() -> None:
    clock = Clock()
    loop_time = LoopTime(clock)
    share = loop_time.share()
    share.spend(50 * ROUND_S)
    await rounds(3)
    assert not share.is_open
    clock.now += 10 * ROUND_S
    assert not share.is_open
    clock.now += 50 * ROUND_S
    assert share.is_open
    clock.now += 1000
    share.spend(2 * ROUND_S)
    assert not share.is_open  # and no more is saved than a round


async def test_debts_are_not_waited_out_where_nobody_else_wants_anything() -> None:
    share = LoopTime(Clock()).share()
    share.spend(1000 * ROUND_S)
    came = asyncio.create_task(share.turn(0.0))
    await rounds(4)
    assert came.done()


async def test_turns_come_in_the_order_of_waiting_and_are_charged() -> None:
    share, order = LoopTime(Clock()).share(), []
    share.spend(ROUND_S)
    for number in range(6):
        share.wait(lambda number=number: order.append(number), ROUND_S / 2)
    waiting = asyncio.create_task(share.turn(0.0))
    await rounds(1)
    assert order == [0, 1]
    await until_done(waiting)
    assert order == [0, 1, 2, 3, 4, 5]


async def until_done(task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(10):
        await task


async def test_one_that_fails_in_its_turn_keeps_nobody_from_theirs() -> None:
    loop_time = LoopTime(Clock())
    done: Counter[str] = Counter()

    def failing() -> None:
        raise OSError("of this machine")

    for name in ("a", "b"):
        share = loop_time.share()
        share.spend(ROUND_S)
        share.wait(failing)
        share.wait(lambda name=name: done.update([name]))
    await rounds(3)
    assert done == Counter("ab")


async def test_who_gave_up_waiting_takes_nobody_s_turn() -> None:
    share = LoopTime(Clock()).share()
    share.spend(10 * ROUND_S)
    given_up = asyncio.create_task(share.turn(ROUND_S))
    waiting = asyncio.create_task(share.turn(0.0))
    await asyncio.sleep(0)
    given_up.cancel()
    await until_done(waiting)
    with pytest.raises(asyncio.CancelledError):
        await given_up
