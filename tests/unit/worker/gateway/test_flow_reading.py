"""Taking what waits in a socket: in turns, when there is room, and to the end."""

import asyncio
import errno
import socket
import time
from collections.abc import Iterator

import pytest

from scaibunker.worker.gateway.flows import reading as readings
from scaibunker.worker.gateway.flows.reading import TURN, Reading
from scaibunker.worker.gateway.shares import LoopTime
from tests.waiting import until


class Pair:
    """`full`: how often the kernel is to say that it has lost messages."""

    def __init__(self) -> None:
        self.kernel, self.netlink = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.netlink.setblocking(False)
        self.kernel.setblocking(False)
        self.taken: list[bytes] = []
        self.has_room = True
        self.share = LoopTime().share()

    def tell(self, count: int) -> None:
        for number in range(count):
            self.kernel.send(b"%d" % number)

    def read(self) -> Reading:
        return Reading(self.netlink, self.taken.append, self.share, lambda: self.has_room)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.kernel.close()
    made.netlink.close()


async def test_everything_is_taken_in_order(pair: Pair) -> None:
    reading = pair.read()
    pair.tell(TURN + 20)
    await until(lambda: len(pair.taken) == TURN + 20)
    pair.tell(3)
    assert await reading.finish(time.monotonic() + 10)
    assert pair.taken == [b"%d" % n for n in [*range(TURN + 20), 0, 1, 2]]
    pair.tell(1)
    await asyncio.sleep(0)
    assert len(pair.taken) == TURN + 23


async def test_others_get_their_turn(pair: Pair) -> None:
    reading = pair.read()
    pair.tell(2 * TURN)
    while not pair.taken:
        await asyncio.sleep(0)
    assert len(pair.taken) == TURN
    assert await reading.finish(time.monotonic() + 10)
    assert len(pair.taken) == 2 * TURN


async def test_nothing_is_read_while_there_is_no_room(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "LOOK_S", 0.001)
    looks = 0

    def crowded() -> bool:
        nonlocal looks
        looks += 1
        return False

    Reading(pair.netlink, pair.taken.append, pair.share, lambda: pair.has_room or crowded())
    pair.has_room = False
    pair.tell(5)
    await until(lambda: looks > 5)
    assert pair.taken == []
    pair.has_room = True
    await until(lambda: len(pair.taken) == 5)


async def test_room_is_not_waited_for_for_ever(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "PATIENCE_S", 0.05)
    reading = pair.read()
    pair.has_room = False
    pair.tell(5)
    await until(lambda: len(pair.taken) == 5)
    pair.tell(5)
    assert await reading.finish(time.monotonic() + 10)
    assert len(pair.taken) == 10


async def test_what_comes_for_ever_is_left(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = pair.read()
    monkeypatch.setattr(reading, "_turn", lambda: TURN)
    assert not await reading.finish(time.monotonic() + 0.05)


async def test_what_did_not_fit_is_waited_for(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "QUIET_S", 0.1)

    class Overrun:
        """A socket that has been full once, and is told the rest a moment later."""

        def __init__(self) -> None:
            self.errors = [errno.ENOBUFS]
            self.fileno = pair.netlink.fileno

        def recv(self, size: int) -> bytes:
            if self.errors:
                raise OSError(self.errors.pop(), "No buffer space available")
            return pair.netlink.recv(size)

    taken: list[bytes] = []
    reading = Reading(Overrun(), taken.append, pair.share)  # type: ignore[arg-type]
    finishing = asyncio.create_task(reading.finish(time.monotonic() + 30))
    await asyncio.sleep(0)
    pair.tell(7)
    assert await finishing
    assert len(taken) == 7
