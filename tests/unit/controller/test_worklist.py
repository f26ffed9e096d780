"""One task per key, ordered for one key, parallel between keys."""

import asyncio

import pytest
from structlog.testing import capture_logs

from scaibunker.controller.worklist import Worklist
from scaigrid.db.errors import DatabaseUnavailable


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_hint_in_the_middle_of_a_run_makes_another_run_follow() -> None:
    running, runs, gate = 0, 0, asyncio.Event()

    async def work(_: str) -> None:
        nonlocal running, runs
        running += 1
        assert running == 1
        runs += 1
        await gate.wait()
        running -= 1

    worklist = Worklist(work, 4)
    for _ in range(5):
        worklist.hint("a")
        await settle()
    assert runs == 1
    gate.set()
    await settle()
    assert runs == 2


async def test_keys_run_beside_each_other_up_to_the_limit() -> None:
    busy: set[str] = set()
    gate = asyncio.Event()

    async def work(key: str) -> None:
        busy.add(key)
        await gate.wait()

    worklist = Worklist(work, 2)
    for key in "abc":
        worklist.hint(key)
    await settle()
    assert len(busy) == 2
    gate.set()
    await settle()
    assert busy == {"a", "b", "c"}


async def test_a_run_that_raises_leaves_the_key_usable() -> None:
    runs = 0

    async def work(_: str) -> None:
        nonlocal runs
        runs += 1
        raise ValueError("as planned")

    worklist = Worklist(work, 1)
    for _ in range(2):
        worklist.hint("a")
        await settle()
    assert runs == 2


@pytest.mark.parametrize(
    ("error", "level", "traced"),
    [(DatabaseUnavailable(), "warning", False), (RuntimeError("a mistake"), "error", True)],
)
async def test_an_outage_is_a_line_and_a_mistake_a_traceback(
    error: Exception, level: str, traced: bool
) -> None:
    async def work(_: str) -> None:
        raise error

    with capture_logs() as lines:
        Worklist(work, 1).hint("a")
        await settle()
    [line] = lines
    assert (line["log_level"], line["key"]) == (level, "a")
    assert ("exc_info" in line) is traced


async def test_closing_breaks_off_and_takes_no_more() -> None:
    runs = 0

    async def work(_: str) -> None:
        nonlocal runs
        runs += 1
        await asyncio.Event().wait()

    worklist = Worklist(work, 1)
    worklist.hint("a")
    await settle()
    await worklist.close()
    worklist.hint("b")
    await settle()
    assert runs == 1
