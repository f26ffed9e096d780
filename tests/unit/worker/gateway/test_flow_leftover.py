"""Records of machines that ended while there was no gateway: they are completed, and it is said that some are missing."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from scaibunker.worker.gateway.flows.leftover import Leftover
from scaibunker.worker.gateway.flows.room import Bounds, Room
from scaibunker.worker.gateway.flows.spool import WRITING, Spool

LINE = b'{"n":1}\n'
WRITTEN_AT, NOW = 1_700_000_000, 1_700_000_060.0


class Place:
    """Folders of two bunkers, as a gateway that was killed leaves them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.free = 1 << 40
        for bunker in ("bnk_1", "bnk_2"):
            (root / bunker).mkdir()
            spool = self.spool(root / bunker)
            spool.take_over()
            assert spool.append(LINE)
            with next((root / bunker).glob("*.part")).open("ab") as part:
                part.write(b'{"half')
            for path in (root / bunker).iterdir():
                os.utime(path, (WRITTEN_AT, WRITTEN_AT))

    def spool(self, folder: Path) -> Spool:
        return Spool(folder, Room(Bounds(), free=lambda _: self.free))

    def leftover(self) -> Leftover:
        return Leftover(self.root, self.spool, now=lambda: NOW)

    def told(self, bunker: str) -> list[dict[str, Any]]:
        """Of complete batches."""
        batches = sorted((self.root / bunker).glob("*.ndjson"))
        return [json.loads(line) for batch in batches for line in batch.read_text().splitlines()]

    def is_writing(self, bunker: str) -> bool:
        return (self.root / bunker / WRITING).exists() or any((self.root / bunker).glob("*.part"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_batches_of_the_dead_are_completed(place: Place) -> None:
    leftover = place.leftover()
    leftover.complete()
    assert place.told("bnk_1") == place.told("bnk_2") == [{"n": 1}]
    await leftover.tell(0)
    for bunker in ("bnk_1", "bnk_2"):
        record, loss = place.told(bunker)
        assert record == {"n": 1}
        assert (loss["dropped"], loss["reason"], loss["bunker_id"]) == (None, "restart", bunker)
        assert loss["start"] == "2023-11-14T22:13:20.000000Z"  # what it has written last
        assert not place.is_writing(bunker)
    again = place.leftover()
    again.complete()
    await again.tell(0)
    assert len(place.told("bnk_1")) == 2


async def test_of_whom_it_serves_the_journal_speaks(place: Place) -> None:
    leftover = place.leftover()
    leftover.complete()
    leftover.served("bnk_1")
    await leftover.tell(0)
    assert place.told("bnk_1") == [{"n": 1}]
    assert place.spool(place.root / "bnk_1").take_over() == WRITTEN_AT
    assert len(place.told("bnk_2")) == 2


async def test_what_there_is_no_room_for_is_told_by_the_next(place: Place) -> None:
    place.free = 0
    leftover = place.leftover()
    leftover.complete()
    await leftover.tell(0)
    assert place.told("bnk_1") == [{"n": 1}]
    assert place.is_writing("bnk_1")
    place.free = 1 << 40
    leftover = place.leftover()
    leftover.complete()
    await leftover.tell(0)
    assert len(place.told("bnk_1")) == 2


def test_without_folders_there_is_nothing_to_do(tmp_path: Path) -> None:
    (tmp_path / "bnk_3").mkdir()
    (tmp_path / "bnk_3" / "1.ndjson.part").mkdir()  # whatever it is, others are not kept from it
    Leftover(tmp_path, lambda folder: Spool(folder, Room())).complete()
    Leftover(tmp_path / "none", lambda folder: Spool(folder, Room())).complete()
