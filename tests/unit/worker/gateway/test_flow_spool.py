"""Batches on disk: their names and ends, what a dead gateway left, and how much of the disk they take."""

import os
from pathlib import Path

import pytest

from scaibunker.worker.gateway.flows.room import Bounds, Room
from scaibunker.worker.gateway.flows.spool import NEWEST, WRITING, Limits, Spool

LINE = b'{"n":1}\n'
NOW = 1_700_000_000.5
PLENTY = 1 << 40


class Clock:
    def __init__(self) -> None:
        self.now = NOW
        self.elapsed = 0.0


class Place:
    def __init__(self, root: Path) -> None:
        self.clock = Clock()
        self.folder = root / "spool" / "bnk_1"
        self.folder.mkdir(parents=True)
        self.free = PLENTY

    def spool(self, limits: Limits | None = None, bounds: Bounds | None = None) -> Spool:
        clock = self.clock
        room = Room(bounds or Bounds(), lambda: clock.elapsed, lambda _: self.free)
        limits = limits or Limits()
        return Spool(self.folder, room, limits, lambda: clock.now, lambda: clock.elapsed)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if ".ndjson" in path.name)

    def content(self) -> bytes:
        return b"".join((self.folder / name).read_bytes() for name in self.names())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folder = tmp_path / "spool" / "bnk_1"  # what is beside it counts as other machines'
    folder.mkdir(parents=True)
    return Place(folder)


def test_a_batch_is_named_after_its_begin_and_its_writer(place: Place) -> None:
    spool = place.spool()
    assert spool.take_over() is None
    assert spool.append(LINE)
    name = f"1700000000500000-{os.getpid()}.ndjson"
    assert place.names() == [name + ".part"]
    spool.complete()
    assert place.names() == [name]
    assert (place.folder / name).stat().st_mode & 0o777 == 0o600


def test_a_batch_is_complete_when_it_is_large_or_old(place: Place) -> None:
    spool = place.spool(Limits(batch_bytes=3 * len(LINE), batch_s=10))
    for _ in range(4):
        spool.append(LINE)
    assert [name.endswith(".part") for name in place.names()] == [False, True]
    place.clock.elapsed = 9.9
    spool.tick()
    assert place.names()[1].endswith(".part")
    place.clock.elapsed = 10
    spool.tick()
    assert not place.names()[1].endswith(".part")
    spool.tick()
    assert place.content() == 4 * LINE


def test_names_rise_and_never_come_twice_whatever_the_clock_does(place: Place) -> None:
    given = []
    for now in (NOW, NOW, NOW - 3600, 0, NOW + 1):
        place.clock.now = now
        spool = place.spool()
        spool.take_over()
        spool.append(LINE)
        spool.close()
        [name] = place.names()
        given.append(name)
        (place.folder / name).unlink()  # it was uploaded
    assert given == sorted(set(given))
    assert given[-1].startswith("1700000001500000-")


@pytest.mark.parametrize("rest", [b"", b'{"cut', b"x" * 200_000])
def test_complete_lines_of_a_dead_gateway_are_kept(place: Place, rest: bytes) -> None:
    dead = place.spool()
    dead.take_over()
    dead.append(3 * LINE)
    [path] = place.folder.glob("*.part")
    with path.open("ab") as file:
        file.write(rest)
    os.utime(path, (NOW - 5, NOW - 5))
    os.utime(place.folder / WRITING, (NOW - 9, NOW - 9))
    since = place.spool().take_over()
    assert since == NOW - 5
    assert place.names() == [path.name.removesuffix(".part")]
    assert place.content() == 3 * LINE


def test_of_a_batch_without_a_complete_line_nothing_stays(place: Place) -> None:
    (place.folder / "1700000000500000-7.ndjson.part").write_bytes(b'{"cut')
    assert place.spool().take_over() is not None
    assert place.names() == []


def test_a_gateway_that_died_between_two_batches_is_noticed(place: Place) -> None:
    dead = place.spool()
    dead.take_over()
    dead.append(LINE)
    dead.complete()
    assert place.spool().take_over() is not None


def test_one_that_has_put_everything_away_is_not(place: Place) -> None:
    spool = place.spool()
    spool.take_over()
    spool.append(LINE)
    spool.close()
    assert place.spool().take_over() is None


def test_what_is_no_number_is_not_remembered(place: Place) -> None:
    (place.folder / NEWEST).write_text("yesterday")
    (place.folder / "x-1.ndjson").touch()
    spool = place.spool()
    spool.take_over()
    assert spool.append(LINE)
    assert any(name.startswith("1700000000500000-") for name in place.names())


def test_a_machine_has_so_much_room_and_no_more(place: Place) -> None:
    bounds = Bounds(one=10_000, all=PLENTY, free=0, urgent=100)
    spool = place.spool(bounds=bounds)
    spool.take_over()
    block = b"x" * 999 + b"\n"
    written = 0
    while spool.append(block):
        written += 1
    # The files that say what is newest and that somebody writes take a block of the disk each.
    assert 1000 < written * 1000 <= 10_000
    assert spool.append(LINE, is_urgent=True)
    spool.complete()
    assert len(place.content()) == written * 1000 + len(LINE)
    for path in place.folder.glob("*.ndjson"):
        path.unlink()
    assert not spool.append(block)
    place.clock.elapsed = 11
    assert spool.append(block)  # what was uploaded has made room


def test_all_machines_together_have_so_much(place: Place) -> None:
    other = place.folder.parent / "bnk_2"
    other.mkdir()
    (other / "1700000000000000-7.ndjson").write_bytes(bytes(50_000))
    spool = place.spool(bounds=Bounds(one=PLENTY, all=60_000, free=0, urgent=0))
    spool.take_over()
    assert spool.append(b"x" * 999 + b"\n")
    assert not spool.append(b"x" * 9_999 + b"\n")


def test_what_is_free_is_left_to_others(place: Place) -> None:
    spool = place.spool(bounds=Bounds(free=1000, urgent=0))
    spool.take_over()
    place.free = 1000 + len(LINE)
    assert spool.append(LINE)
    place.free -= 1
    assert not spool.append(LINE)


def test_half_a_line_never_stays(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = place.spool()
    spool.take_over()
    spool.append(LINE)
    write = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) < 6:
            raise OSError(28, "No space left on device")
        return write(file, bytes(data)[:3])

    monkeypatch.setattr("scaibunker.worker.gateway.flows.spool.os.write", full)
    assert not spool.append(LINE)
    monkeypatch.undo()
    assert spool.append(LINE)
    assert place.content() == 2 * LINE


def test_a_folder_that_is_gone_takes_nothing(place: Place) -> None:
    spool = place.spool()
    spool.take_over()
    for path in place.folder.iterdir():
        path.unlink()
    place.folder.rmdir()
    assert not spool.append(LINE)
