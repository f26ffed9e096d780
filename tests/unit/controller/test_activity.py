"""When a bunker was last used: what is said of it between the use and the write."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest
from sqlalchemy import Executable

from scaibunker.controller.bunkers.activity import Activity
from scaigrid.clock import SystemClock
from scaigrid.db.batch import BatchWriter
from scaigrid.db.errors import DatabaseUnavailable


class Writer:
    """Takes writes in, and does them when the test says so."""

    def __init__(self) -> None:
        self.full = False
        self.writes: list[asyncio.Future[None]] = []

    def submit(
        self,
        statement: Executable,
        values: Mapping[str, Any],
        *,
        urgent: bool = True,
    ) -> "asyncio.Future[None]":
        if self.full:
            raise DatabaseUnavailable("no room")
        self.writes.append(asyncio.get_running_loop().create_future())
        return self.writes[-1]


async def test_a_use_is_known_until_it_is_written() -> None:
    writer, clock = Writer(), SystemClock()
    activity = Activity(cast("BatchWriter", writer), clock)
    stored = clock.now()
    activity.touch("bnk_a")
    first = activity.latest("bnk_a", stored)
    assert first > stored
    activity.flush()
    assert activity.latest("bnk_a", stored) == first
    activity.touch("bnk_a")
    second = activity.latest("bnk_a", stored)
    assert second > first
    activity.flush()
    writer.writes[0].set_result(None)  # the second still waits
    await asyncio.sleep(0)
    assert activity.latest("bnk_a", first) == second
    writer.writes[1].set_result(None)
    await asyncio.sleep(0)
    assert activity.latest("bnk_a", stored) == stored  # what is stored says it now
    assert not activity._handed


async def test_what_a_full_queue_refuses_is_handed_in_again() -> None:
    writer, clock = Writer(), SystemClock()
    activity = Activity(cast("BatchWriter", writer), clock)
    stored = clock.now()
    activity.touch("bnk_a")
    at = activity.latest("bnk_a", stored)
    writer.full = True
    with pytest.raises(DatabaseUnavailable):
        activity.flush()
    assert activity.latest("bnk_a", stored) == at
    writer.full = False
    activity.flush()
    assert len(writer.writes) == 1
