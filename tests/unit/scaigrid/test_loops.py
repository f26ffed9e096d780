"""Loops go on."""

import asyncio

import pytest

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
