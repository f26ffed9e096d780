"""A command's stream on disk: what is stored, what a later daemon finds, and what a liar achieves."""

import asyncio
from pathlib import Path

import pytest

from scaibunker.wire.guest import frames
from scaibunker.wire.guest.frames import FrameError, Kind
from scaibunker.worker.execs.spool import Budget, Spool

EXIT = {"exit_code": 0, "signal": None, "timed_out": False, "duration_ms": 12}


def _spool(tmp_path: Path, limit: int = 1 << 20) -> Spool:
    return Spool(tmp_path / "exe_abcd.frames", "bnk_abcd", Budget(limit))


async def _all(spool: Spool) -> bytes:
    return b"".join([data async for data in spool.follow()])


async def test_a_follower_gets_everything_from_the_start(tmp_path: Path) -> None:
    spool = _spool(tmp_path)
    stream = (
        frames.encode(Kind.STDOUT, b"one")
        + frames.encode(Kind.STDERR, b"two")
        + frames.encode_json(Kind.EXIT, EXIT)
    )
    await spool.append(stream[:7])
    following = asyncio.create_task(_all(spool))
    await asyncio.sleep(0)
    await spool.append(stream[7:])
    assert await following == stream
    status = spool.status()
    assert (status.stdout_bytes, status.stderr_bytes, status.running) == (3, 3, False)
    assert status.exit is not None
    assert status.exit.exit_code == 0
    assert status.stdout_preview == "one"


async def test_a_later_daemon_goes_on_where_the_last_whole_frame_ended(tmp_path: Path) -> None:
    whole = frames.encode(Kind.STDOUT, b"whole")
    path = tmp_path / "exe_abcd.frames"
    path.write_bytes(whole + frames.encode(Kind.STDOUT, b"cut off")[:6])
    spool = _spool(tmp_path)
    assert spool.offset == len(whole)
    assert path.read_bytes() == whole
    await spool.append(frames.encode_json(Kind.EXIT, EXIT))
    assert spool.finished
    assert spool.status().stdout_bytes == 5


async def test_keepalives_are_not_stored(tmp_path: Path) -> None:
    spool = _spool(tmp_path)
    await spool.append(frames.encode(Kind.KEEPALIVE))
    assert spool.offset == 0


async def test_output_beyond_the_budget_is_dropped_and_said_to_be(tmp_path: Path) -> None:
    spool = _spool(tmp_path, limit=100)
    await spool.append(frames.encode(Kind.STDOUT, b"x" * 80))
    await spool.append(frames.encode(Kind.STDOUT, b"y" * 80))
    await spool.append(frames.encode_json(Kind.EXIT, EXIT))
    status = spool.status()
    assert status.truncated
    assert status.stdout_bytes == 160
    assert status.exit is not None  # the end is kept whatever the budget
    assert spool.offset is None
    kinds = [frame.kind for frame in frames.Decoder().feed(await _all(spool))]
    assert kinds == [Kind.STDOUT, Kind.EXIT]


async def test_frames_that_come_together_share_what_is_left(tmp_path: Path) -> None:
    spool = _spool(tmp_path, limit=100)
    await spool.append(2 * frames.encode(Kind.STDOUT, b"x" * 80))
    assert spool.status().truncated
    assert (tmp_path / "exe_abcd.frames").stat().st_size == frames.HEADER.size + 80


async def test_removing_a_spool_gives_its_room_back(tmp_path: Path) -> None:
    budget = Budget(100)
    spool = Spool(tmp_path / "exe_abcd.frames", "bnk_abcd", budget)
    await spool.append(frames.encode(Kind.STDOUT, b"x" * 80))
    await spool.give_up("the guest is gone")
    spool.remove()
    assert budget.left == 100
    assert not (tmp_path / "exe_abcd.frames").exists()


async def test_a_lost_command_has_no_exit_code(tmp_path: Path) -> None:
    spool = _spool(tmp_path)
    await spool.give_up("the guest is gone")
    status = spool.status()
    assert status.exit is None
    assert status.error == "the guest is gone"
    assert not status.running


@pytest.mark.parametrize(
    "lie",
    [
        b"\x63" + b"\0\0\0\1x",  # no such kind
        b"\1\xff\xff\xff\xff",  # longer than any frame
    ],
)
async def test_bytes_that_are_no_frames_are_refused(tmp_path: Path, lie: bytes) -> None:
    with pytest.raises(FrameError):
        await _spool(tmp_path).append(lie)


async def test_every_frame_counts_against_the_budget(tmp_path: Path) -> None:
    spool = _spool(tmp_path, limit=1000)
    gap = frames.encode_json(Kind.GAP, {"bytes": 1})
    for _ in range(500):
        await spool.append(gap)
    assert (tmp_path / "exe_abcd.frames").stat().st_size <= 1000


@pytest.mark.parametrize(
    "lie",
    [
        frames.encode_json(Kind.EXIT, EXIT) + frames.encode(Kind.STDOUT, b"more"),
        frames.encode_json(Kind.STARTED, {"pid": "x" * 5000}),
        frames.encode(Kind.ERROR, b"[" * 4000),
    ],
)
async def test_streams_that_no_agent_sends_are_refused(tmp_path: Path, lie: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it is, it is refused
        await _spool(tmp_path).append(lie)


async def test_text_that_cannot_be_written_out_is_cleaned(tmp_path: Path) -> None:
    spool = _spool(tmp_path)
    await spool.append(
        frames.encode(Kind.ERROR, b'{"code": "X", "message": "\\ud800 \\u001b[31m"}')
    )
    assert "ud800" not in spool.status().model_dump_json()
    assert "\x1b" not in (spool.status().error or "")


async def test_a_damaged_file_is_cut_back_to_its_good_part(tmp_path: Path) -> None:
    whole = frames.encode(Kind.STDOUT, b"whole")
    (tmp_path / "exe_abcd.frames").write_bytes(whole + b"\0" * 4096)
    spool = _spool(tmp_path)
    assert (tmp_path / "exe_abcd.frames").read_bytes() == whole
    assert spool.status().truncated
