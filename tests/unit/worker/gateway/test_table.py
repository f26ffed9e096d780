"""Whom the gateway serves, with parts that do as the test wants."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scaibunker.worker.gateway.attachment import Attachment, Sockets
from scaibunker.worker.gateway.part import Part
from scaibunker.worker.gateway.table import NotAttached, Table
from scaibunker.worker.network.policy import CLOSED, Passage, Policy

NAMED = Policy(Passage.NAMED, 100, ("pypi.test",))


class FakePart:
    def __init__(self, said: list[str], name: str, fails_at: str = "") -> None:
        self.said, self.name, self.fails_at = said, name, fails_at
        self.attachment: Attachment | None = None
        self.may_close = asyncio.Event()
        self.may_close.set()

    def _say(self, what: str) -> None:
        self.said.append(f"{self.name} {what}")
        if what == self.fails_at:
            raise RuntimeError(what)

    def start(self, attachment: Attachment) -> None:
        self.attachment = attachment
        self._say("start")

    def change(self, policy: Policy) -> None:
        assert self.attachment is not None
        assert self.attachment.policy is policy
        self._say("change")

    async def close(self) -> None:
        await self.may_close.wait()
        self._say("close")


def table(said: list[str], folder: Path, *makes: Callable[[], Part]) -> Table:
    return Table(makes or [lambda: FakePart(said, "a"), lambda: FakePart(said, "b")], folder)


def sockets() -> Sockets:
    return Sockets(dns_udp=(socket.socket(socket.AF_INET, socket.SOCK_DGRAM),))


async def test_parts_start_in_order_and_close_in_reverse(tmp_path: Path) -> None:
    said: list[str] = []
    served, sock = table(said, tmp_path), sockets()
    await served.attach("m", "", CLOSED, sock)
    assert served.names == ("m",)
    await served.change("m", "bunker", NAMED)
    await served.detach("m")
    assert said == ["a start", "b start", "a change", "b change", "b close", "a close"]
    assert sock.dns_udp[0].fileno() == -1
    assert served.names == ()


async def test_records_have_a_folder_once_a_bunker_is_audited(tmp_path: Path) -> None:
    part = FakePart([], "a")
    served = table([], tmp_path, lambda: part)
    await served.attach("m", "", CLOSED, sockets())
    assert part.attachment is not None
    assert part.attachment.spool is None
    await served.change("m", "bunker", NAMED)
    assert part.attachment.spool is None
    await served.change("m", "bunker", replace(NAMED, audited=True))
    assert part.attachment.spool == tmp_path / "bunker"
    assert part.attachment.spool.is_dir()
    await served.close()


@pytest.mark.parametrize("fails_at", ["start", "change", "close"])
async def test_a_part_that_fails_stops_no_other(tmp_path: Path, fails_at: str) -> None:
    said: list[str] = []
    parts = iter([FakePart(said, "bad", fails_at), FakePart(said, "good"), FakePart(said, "other")])
    served = table(said, tmp_path, lambda: next(parts), lambda: next(parts))
    first, second = sockets(), sockets()
    await served.attach("m", "b", CLOSED, first)
    await served.change("m", "b", NAMED)
    assert served.failed == ({} if fails_at == "close" else {"m": ("FakePart",)})
    assert said.count("bad close") == (0 if fails_at == "close" else 1)
    await served.detach("m")
    assert said.count("good close") == said.count("bad close") == 1
    assert first.dns_udp[0].fileno() == -1
    second.close()


async def test_machines_do_not_wait_for_one_another(tmp_path: Path) -> None:
    slow, quick = FakePart([], "slow"), FakePart([], "quick")
    parts = iter([slow, quick])
    served = table([], tmp_path, lambda: next(parts))
    await served.attach("slow", "", CLOSED, sockets())
    await served.attach("quick", "", CLOSED, sockets())
    slow.may_close.clear()
    detaching = asyncio.create_task(served.detach("slow"))
    again = asyncio.create_task(served.detach("slow"))
    await served.detach("quick")
    assert not detaching.done()
    slow.may_close.set()
    await asyncio.gather(detaching, again)


async def test_attaching_again_takes_the_new_sockets(tmp_path: Path) -> None:
    said: list[str] = []
    served, old, new = table(said, tmp_path), sockets(), sockets()
    await served.attach("m", "", CLOSED, old)
    await served.attach("m", "", CLOSED, new)
    assert old.dns_udp[0].fileno() == -1
    assert new.dns_udp[0].fileno() != -1
    assert said == ["a start", "b start", "b close", "a close", "a start", "b start"]
    await served.close()


async def test_who_is_not_attached_cannot_be_changed(tmp_path: Path) -> None:
    served = table([], tmp_path)
    with pytest.raises(NotAttached):
        await served.change("m", "b", NAMED)
    await served.detach("m")


async def test_nobody_is_attached_to_one_that_stops(tmp_path: Path) -> None:
    served, sock = table([], tmp_path), sockets()
    await served.close()
    with pytest.raises(NotAttached):
        await served.attach("m", "", CLOSED, sock)
    assert sock.dns_udp[0].fileno() == -1
