"""Taking from a machine's socket: while there is something, in its turn, and not when it is to be left alone."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from scaibunker.worker.gateway.intake import AT_ONCE, Intake
from scaibunker.worker.gateway.shares import ROUND_S, LoopTime
from tests.waiting import until


class Box:
    """A socket with pieces in it. Each costs `costs` of the loop's time; after each the machine is left alone for `rest`."""

    def __init__(self, loop_time: LoopTime, costs: float = 0.0) -> None:
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.near.setblocking(False)
        self.share = loop_time.share()
        self.costs = costs
        self.rest = 0.0
        self.taken = 0

    def fill(self, count: int) -> None:
        for _ in range(count):
            self.far.send(b"x")

    def take(self) -> float | None:
        try:
            self.near.recv(1)
        except BlockingIOError:
            return None
        self.taken += 1
        self.share.spend(self.costs)
        return self.rest


@pytest.fixture
def boxes() -> Iterator[list[Box]]:
    loop_time = LoopTime()
    made = [Box(loop_time, costs=0.7 * ROUND_S) for _ in range(5)]
    yield made
    for box in made:
        box.near.close()
        box.far.close()


async def test_all_is_taken_and_what_comes_later_too(boxes: list[Box]) -> None:
    box = boxes[0]
    box.costs = 0.0
    intake = Intake(box.near, box.share, box.take)
    box.fill(2 * AT_ONCE + 3)
    await until(lambda: box.taken == 2 * AT_ONCE + 3)
    box.fill(1)
    await until(lambda: box.taken == 2 * AT_ONCE + 4)
    intake.close()
    box.fill(1)
    await asyncio.sleep(0.02)
    assert box.taken == 2 * AT_ONCE + 4


async def test_those_with_much_to_take_take_turns(boxes: list[Box]) -> None:
    for box in boxes:
        box.fill(30)
    intakes = [Intake(box.near, box.share, box.take) for box in boxes]
    while not any(box.taken == 20 for box in boxes):
        await asyncio.sleep(0)
    assert all(17 <= box.taken <= 20 for box in boxes)
    await until(lambda: all(box.taken == 30 for box in boxes))
    for intake in intakes:
        intake.close()


async def taken(box: Box, count: int) -> None:
    """Not later than in the round in which it is."""
    async with asyncio.timeout(20):
        while box.taken < count:
            await asyncio.sleep(0)


async def test_who_is_to_be_left_alone_is(boxes: list[Box]) -> None:
    box = boxes[0]
    box.rest = 3600.0
    box.fill(3)
    intake = Intake(box.near, box.share, box.take)
    await taken(box, 1)
    await asyncio.sleep(0.02)
    assert box.taken == 1
    intake.close()
    box.rest = 0.01
    intake = Intake(box.near, box.share, box.take)
    await taken(box, 3)
    intake.close()


@pytest.mark.parametrize("rest", [0.0, 0.01])
async def test_nothing_is_taken_after_closing_while_it_waits(boxes: list[Box], rest: float) -> None:
    box = boxes[0]
    box.rest, box.costs = rest, 10 * ROUND_S
    intake = Intake(box.near, box.share, box.take)
    box.fill(2)
    await taken(box, 1)
    intake.close()
    await asyncio.sleep(0.03)
    assert box.taken == 1
