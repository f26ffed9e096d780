"""Records on their way to the disk: bounded, in order, and nothing missing without a word."""

import json
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scaibunker.worker.gateway.attachment import Attachment, Sockets
from scaibunker.worker.gateway.counts import Counts
from scaibunker.worker.gateway.flows import part as parts
from scaibunker.worker.gateway.flows.journal import BLOCK_BYTES, Journal
from scaibunker.worker.gateway.flows.part import FlowsPart
from scaibunker.worker.gateway.flows.room import Bounds, Room
from scaibunker.worker.gateway.flows.spool import Spool
from scaibunker.worker.gateway.recorder import Flow, Verdict
from scaibunker.worker.network.policy import Passage, Policy
from tests.waiting import until

BUNKER = "bnk_1"
NAMED = Policy(Passage.NAMED, bandwidth_mbit=1, audited=True)
FLOW = Flow(
    start=1_700_000_000.25,
    duration_s=1.5,
    source=("198.18.0.2", 40_000),
    destination=("5.5.5.5", 443),
    verdict=Verdict.REFUSED,
    host='"nasty\n.example',
    bytes_sent=517,
    reason="server name is not permitted",
)


class SlowSpool(Spool):
    """Takes nothing before it is let."""

    def __init__(self, folder: Path, room: Room) -> None:
        super().__init__(folder, room)
        self.let = threading.Event()

    def append(self, lines: bytes, *, is_urgent: bool = False) -> bool:
        assert self.let.wait(30)
        return super().append(lines, is_urgent=is_urgent)


def spool(folder: Path) -> Spool:
    return Spool(folder, Room(Bounds(free=0)))


def read(folder: Path) -> list[dict[str, Any]]:
    assert not list(folder.glob("*.part"))
    lines = b"".join(path.read_bytes() for path in sorted(folder.glob("*.ndjson")))
    return [json.loads(line) for line in lines.splitlines()]


def line(number: int, size: int = 0) -> bytes:
    return json.dumps({"n": number, "x": "x" * size}).encode() + b"\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of one machine; what is beside it counts as other machines'."""
    made = tmp_path / "spool" / BUNKER
    made.mkdir(parents=True)
    return made


async def test_records_are_there_in_order_when_it_is_closed(folder: Path) -> None:
    journal = Journal(BUNKER, folder, spool)
    for number in range(5000):
        journal.add(line(number, 100))
    await journal.close()
    assert [record["n"] for record in read(folder)] == list(range(5000))
    assert (journal.records, journal.dropped) == (5000, 0)


async def test_what_memory_has_no_room_for_is_counted(folder: Path) -> None:
    slow = SlowSpool(folder, Room(Bounds(free=0)))
    journal = Journal(
        BUNKER, folder, lambda _: slow, memory_bytes=10_000, counts=(counts := Counts())
    )
    for number in range(100):
        journal.add(line(number, 1000))
    slow.let.set()
    await journal.close()
    *kept, loss = read(folder)
    assert 0 < len(kept) < 10
    assert (loss["dropped"], loss["reason"]) == (100 - len(kept), "memory")
    assert counts.all() == {
        "records_written": {"": len(kept)},
        "records_dropped": {"memory": 100 - len(kept)},
        "record_gaps": {"memory": 1},
    }
    assert loss["bunker_id"] == BUNKER
    assert loss["start"] <= loss["end"]


async def test_what_the_disk_has_no_room_for_is_counted(folder: Path) -> None:
    full = Bounds(one=2 * BLOCK_BYTES, free=0)
    journal = Journal(BUNKER, folder, lambda each: Spool(each, Room(full)))
    count = 4 * BLOCK_BYTES // 1000
    for number in range(count):
        journal.add(line(number, 1000))
    await journal.close()
    *kept, loss = read(folder)
    assert 0 < len(kept) < count
    assert (loss["dropped"], loss["reason"]) == (count - len(kept), "disk")


async def test_that_a_gateway_was_killed_is_written_down(folder: Path) -> None:
    dead = spool(folder)
    dead.take_over()
    dead.append(line(1))
    journal = Journal(BUNKER, folder, spool)
    journal.add(line(2))
    journal.lose(3, "restart")
    await journal.close()
    first, second, loss = read(folder)
    assert (first["n"], second["n"]) == (1, 2)
    assert (loss["dropped"], loss["reason"]) == (None, "restart")


async def test_losses_are_added_up_until_they_can_be_said(folder: Path) -> None:
    free = [0]
    room = Room(Bounds(free=1000, urgent=0), free=lambda _: free[0])
    journal = Journal(BUNKER, folder, lambda each: Spool(each, room), write_s=0.01)
    for number in range(5):
        journal.add(line(number))
        await until(partial(lambda count: journal.dropped == count, number + 1))
    assert read(folder) == []
    free[0] = 1 << 40
    journal.add(line(9))
    await journal.close()
    [record, loss] = read(folder)
    assert record["n"] == 9
    assert (loss["dropped"], loss["reason"]) == (5, "disk")


async def test_a_part_that_was_told_of_flows_writes_them_down(folder: Path) -> None:
    attachment = Attachment("m1", BUNKER, NAMED, Sockets(), folder)
    part = FlowsPart(spool)
    part.start(attachment)
    attachment.recorder.record(FLOW)
    await part.close()
    [record] = read(folder)
    assert record == {
        "start": "2023-11-14T22:13:20.250000Z",
        "duration_ms": 1500,
        "source_address": "198.18.0.2",
        "source_port": 40_000,
        "destination_address": "5.5.5.5",
        "destination_port": 443,
        "host": '"nasty\n.example',
        "protocol": "tcp",
        "bytes_sent": 517,
        "bytes_received": 0,
        "packets_sent": None,
        "packets_received": None,
        "verdict": "refused",
        "reason": "server name is not permitted",
        "bunker_id": BUNKER,
    }


async def test_a_machine_that_is_nobodys_is_recorded_from_when_it_is_somebodys(
    folder: Path,
) -> None:
    attachment = Attachment("m1", "", NAMED, Sockets())
    part = FlowsPart(spool)
    part.start(attachment)
    attachment.recorder.record(FLOW)
    attachment.bunker_id, attachment.spool = BUNKER, folder
    part.change(NAMED)
    attachment.recorder.record(FLOW)
    await part.close()
    assert len(read(folder)) == 1


@pytest.mark.parametrize("turns", [1, 3])
async def test_audit_goes_off_and_on(folder: Path, turns: int) -> None:
    unaudited = Policy(Passage.NAMED, bandwidth_mbit=1)
    attachment = Attachment("m1", BUNKER, NAMED, Sockets(), folder)
    part = FlowsPart(spool)
    part.start(attachment)
    for _ in range(turns):
        attachment.recorder.record(FLOW)
        attachment.policy = unaudited
        part.change(unaudited)
        attachment.recorder.record(FLOW)
        attachment.policy = NAMED
        part.change(NAMED)
    attachment.recorder.record(FLOW)
    await part.close()
    assert len(read(folder)) == turns + 1


async def test_a_flow_that_makes_no_sense_is_counted(folder: Path) -> None:
    attachment = Attachment("m1", BUNKER, NAMED, Sockets(), folder)
    part = FlowsPart(spool)
    part.start(attachment)
    attachment.recorder.record(Flow(1e300, 1, ("a", 1), ("b", 2), Verdict.ALLOWED))
    await part.close()
    [loss] = read(folder)
    assert (loss["dropped"], loss["reason"]) == (1, parts.UNREADABLE)
