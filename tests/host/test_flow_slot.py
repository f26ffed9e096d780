"""Flows of a guest behind a slot as it is: real rules, both families, refusals with their reasons."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from scaibunker.worker.gateway.attachment import Attachment
from scaibunker.worker.gateway.flows.part import FlowsPart
from scaibunker.worker.network import flow_sockets
from scaibunker.worker.network.given import SlotNetwork
from scaibunker.worker.network.listening import open_sockets
from scaibunker.worker.network.openings import NOT_RESOLVED, PORT_CLOSED
from scaibunker.worker.network.policy import Passage, Policy
from scaibunker.worker.network.rules import NEW_PER_S
from tests.host.flows import of, records
from tests.host.lab import Lab, plan
from tests.host.lab import packets as p
from tests.host.lab.packets import parse
from tests.host.lab.rig import Rig
from tests.waiting import until, wait_until

pytestmark = pytest.mark.host

BUNKER = "bnk_flows"
OPEN = Policy(Passage.OPEN, 10_000, audited=True)
NAMED = Policy(Passage.NAMED, 10_000, audited=True)
SITE_V4, SITE_V6 = "203.0.113.100", "2001:db8:1::64"
ECHO = 7
EACH = 5000
AT_ONCE = 50
"""Flows: what all sockets on the way have room for."""
FIRST_PORT = 10_000
HEADERS = {SITE_V4: 28, SITE_V6: 48}


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Lab.opened() as lab, Rig.opened(lab) as rig:
        yield rig


@contextlib.asynccontextmanager
async def recorded(rig: Rig, policy: Policy, folder: Path) -> AsyncIterator[None]:
    """What the guest does meanwhile is in the folder afterwards."""
    await asyncio.to_thread(rig.enforce, policy)
    sockets = rig.inside.call(lambda: open_sockets(policy, rig.facts))
    part = FlowsPart()
    part.start(Attachment("m", BUNKER, policy, sockets, folder))
    try:
        yield
        await asyncio.to_thread(rig.inside.call, flow_sockets.end_flows)
    finally:
        await part.close()
        sockets.close()


def datagram(rig: Rig, to: str, port: int, size: int, source_port: int) -> bytes:
    ends = rig.to(to)
    return p.packet(ends, p.UDP, p.udp(ends, port, bytes(size), source_port=source_port))


def exchange(rig: Rig, site: str) -> dict[int, int]:
    """As many short flows as the rules let begin; the size of each by its port."""
    sizes = {FIRST_PORT + n: n % 1200 for n in range(EACH)}
    ports = list(sizes)
    begun = time.monotonic()
    for first in range(0, EACH, AT_ONCE):
        some = ports[first : first + AT_ONCE]
        rig.guest.send(*(datagram(rig, site, ECHO, sizes[port], port) for port in some))
        wait_until(partial(have_come, rig, site), 30, every_s=0.01)
        allowed = begun + (first + AT_ONCE) / (0.9 * NEW_PER_S)
        wait_until(partial(lambda at: time.monotonic() >= at, allowed), 30, every_s=0.01)
        rig.guest.clear()
    return sizes


def have_come(rig: Rig, site: str) -> bool:
    return len(rig.guest.frames(lambda frame: is_echo(frame, site))) == AT_ONCE


def is_echo(frame: bytes, site: str) -> bool:
    seen = parse(frame)
    return seen.source == site and seen.protocol == p.UDP


async def test_ten_thousand_flows_of_a_guest_are_ten_thousand_records(
    rig: Rig, records_folder: Path
) -> None:
    sent = rig.inside.call(lambda: received_by_tap(rig))
    async with recorded(rig, OPEN, records_folder):
        four = await asyncio.to_thread(exchange, rig, SITE_V4)
        six = await asyncio.to_thread(exchange, rig, SITE_V6)
    sent = rig.inside.call(lambda: received_by_tap(rig)) - sent
    told = records(records_folder)
    assert not [r for r in told if "dropped" in r]
    flows = of(told, "udp")
    assert len(flows) == 2 * EACH
    for record in flows:
        site = record["destination_address"]
        size = (four if site == SITE_V4 else six).pop(record["source_port"]) + HEADERS[site]
        assert (record["bytes_sent"], record["packets_sent"]) == (size, 1)
        assert (record["bytes_received"], record["packets_received"]) == (size, 1)
        assert record["destination_port"] == ECHO
        assert record["verdict"] == "allowed"
    assert four == six == {}
    # What is charged for is counted at the device, with the headers of Ethernet.
    assert sent >= sum(r["bytes_sent"] + 14 for r in flows)


def received_by_tap(rig: Rig) -> int:
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == rig.facts.tap:
            return int(counters.split()[0])
    raise AssertionError("the slot has no TAP")


async def test_refused_packets_are_told_with_the_reason(rig: Rig, records_folder: Path) -> None:
    async with recorded(rig, OPEN, records_folder):
        for _ in range(3):
            rig.guest.send(datagram(rig, plan.METADATA_V4, 80, 10, 4000))
            rig.guest.send(datagram(rig, plan.HOST_V6, 22, 10, 4001))
        await until(lambda: rig.count("refused") == 6)
    refused = [r for r in records(records_folder) if r["verdict"] == "refused"]
    assert {(r["destination_address"], r["reason"], r["packets_sent"]) for r in refused} == {
        (plan.METADATA_V4, "never", 3),
        (plan.HOST_V6, "never", 3),
    }
    assert [r["bytes_sent"] for r in refused if r["source_port"] == 4000] == [3 * 38]


async def test_named_tells_what_it_refuses_and_leaves_the_rest_to_the_proxy(
    rig: Rig, records_folder: Path
) -> None:
    async with recorded(rig, NAMED, records_folder):
        rig.guest.send(datagram(rig, SITE_V4, 443, 10, 4000))
        ends = rig.to(SITE_V4)
        for number, port in enumerate((443, 853)):
            syn = p.tcp(ends, port, source_port=4001 + number)
            rig.guest.send(p.packet(ends, p.TCP, syn))
        await until(lambda: rig.refused() == 3)
    told = {
        (record["protocol"], record["verdict"], record["destination_port"], record["reason"])
        for record in records(records_folder)
    }
    assert told == {
        ("udp", "refused", 443, "profile"),
        ("tcp", "refused", 443, NOT_RESOLVED),
        ("tcp", "refused", 853, PORT_CLOSED),
    }


async def test_what_a_guest_has_sent_is_counted_whichever_daemon_asks(rig: Rig) -> None:
    rig.enforce(OPEN)
    first = SlotNetwork(rig.slot, None)
    before = first.egress_bytes()
    frames = [datagram(rig, SITE_V4, ECHO, size, 4000 + size) for size in range(0, 1000, 100)]
    rig.guest.send(*frames)
    sent = before + sum(len(frame) for frame in frames)
    await until(lambda: first.egress_bytes() >= sent)
    assert first.egress_bytes() == sent
    first.close()
    second = SlotNetwork(rig.slot, None)
    assert second.egress_bytes() == sent
    second.close()
