"""Loops go on."""

import asyncio

import pytest
from structlog.testing import capture_logs

from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.loops import forever


async def test_a_failed_pass_does_not_end_the_loop() -> None:
    passes = 0
    third = asyncio.Event()

    async def once() -> None:
        nonlocal passes
        passes += 1
        if passes == 3:
            third.set()
        raise RuntimeError("the database is away")

    loop = asyncio.create_task(forever("test", once, 0))
    await third.wait()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop


@pytest.mark.parametrize(
    ("error", "level", "traced"),
    [(DatabaseUnavailable(), "warning", False), (RuntimeError("a mistake"), "error", True)],
)
async def test_an_outage_is_a_line_and_a_mistake_a_traceback(
    error: Exception, level: str, traced: bool
) -> None:
    failed = asyncio.Event()

    async def once() -> None:
        failed.set()
        raise error

    with capture_logs() as lines:
        loop = asyncio.create_task(forever("test", once, 60))
        await failed.wait()
        await asyncio.sleep(0)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
    [line] = lines
    assert line["log_level"] == level
    assert ("exc_info" in line) is traced
