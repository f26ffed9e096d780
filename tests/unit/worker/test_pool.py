"""Which prepared machines there should be, and when what failed is tried again."""

import asyncio
from types import SimpleNamespace
from typing import cast

from scaibunker.worker.templates.pool import IN_USE_S, SHAPES, TYPICAL_MB, Pool
from scaibunker.worker.templates.retries import FIRST_S, LONGEST_S, Retries
from scaibunker.worker.templates.shape import Shape
from scaibunker.worker.templates.slot import Slot
from scaibunker.worker.templates.template import Template


def shape(number: int) -> Shape:
    return Shape(f"{number:064}", 1, 1, 256)


def template() -> Template:
    return cast("Template", SimpleNamespace(folder=object()))


def slot(number: int, taken_mb: int = 50) -> Slot:
    stand = SimpleNamespace(shape=shape(number), name=f"slot_{number}")
    return cast("Slot", SimpleNamespace(stand=stand, taken_mb=taken_mb, ended=asyncio.Event()))


async def test_the_shapes_that_were_used_last_have_prepared_machines() -> None:
    pool = Pool(2, memory_mb=10_000)
    for number in range(SHAPES + 2):
        pool.used(shape(number), now=number)
    wanted = [shape(number) for number in (5, 4, 3, 2)]
    assert pool.lacking(10, 0) == wanted
    made_of, other = template(), template()
    for _ in range(2):
        pool.add(slot(5), made_of)
    assert pool.lacking(10, 0) == wanted[1:]
    assert pool.lacking(IN_USE_S + 4.5, 0) == []
    assert pool.idle_in(10) == IN_USE_S - 8
    assert pool.take(other) is None
    taken = pool.take(made_of)
    assert taken is not None
    assert taken.stand.shape == shape(5)
    assert pool.lacking(10, 0) == wanted


async def test_memory_bounds_them() -> None:
    pool = Pool(3, memory_mb=TYPICAL_MB + 100)
    pool.used(shape(1), 0)
    assert pool.lacking(0, 101) == []
    assert pool.lacking(0, 100) == [shape(1)]
    pool.add(slot(1, taken_mb=80), template())
    assert pool.lacking(0, 60) == [shape(1)]  # it is known by now how much one takes
    assert pool.lacking(0, 70) == []


async def test_those_that_nobody_should_have_are_taken_out() -> None:
    pool = Pool(3, memory_mb=1000)
    for number in (1, 2):
        pool.used(shape(number), now=number)
    stale, idle, dead, good = slot(2), slot(1), slot(2), slot(2)
    old, new = template(), template()
    for prepared, made_of in ((stale, old), (idle, new), (dead, new), (good, new)):
        pool.add(prepared, made_of)
    dead.ended.set()
    assert pool.remove(dead)
    assert not pool.remove(dead)
    pool.lost.append(dead)
    assert pool.outdated([new], IN_USE_S + 1) == [stale, idle, dead]
    assert pool.outdated([new], IN_USE_S + 1) == []
    good.ended.set()
    assert pool.take(new) is None
    assert pool.drain() == [good]
    assert len(pool) == 0


def test_what_fails_is_tried_later_and_later() -> None:
    retries, one = Retries(), shape(1)
    assert retries.due_in(one, 0) == 0
    assert retries.failed(one, 100) == FIRST_S
    assert retries.due_in(one, 110) == FIRST_S - 10
    assert retries.due_in(one, 1000) == 0
    assert retries.failed(one, 1000) == 2 * FIRST_S
    for _ in range(20):
        longest = retries.failed(one, 2000)
    assert longest == LONGEST_S
    assert retries.due_in(shape(2), 2000) == 0
    retries.forget(one)
    assert retries.failed(one, 0) == FIRST_S
    for number in range(1000):
        retries.failed(shape(number + 2), 0)
    assert retries.due_in(one, 0) == 0  # of so many that one is forgotten
