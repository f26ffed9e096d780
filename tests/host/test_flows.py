"""The record of flows, from the kernel's events to files: in namespaces of the test's own, without a gateway."""

import asyncio
import ipaddress
import select
from pathlib import Path

from scaibunker.worker.gateway.attachment import Attachment, Sockets
from scaibunker.worker.gateway.flows.part import FlowsPart
from scaibunker.worker.gateway.flows.room import Bounds, Room
from scaibunker.worker.gateway.flows.spool import Spool
from scaibunker.worker.network import flow_sockets
from tests.host.flows import (
    BUNKER,
    IP_UDP,
    POLICY,
    TCP_PORT,
    UDP_PORT,
    counted,
    flood,
    make_tcp_flows,
    make_udp_flows,
    of,
    prepare,
    records,
)
from tests.host.own_namespace import namespace
from tests.waiting import until

EACH = 5000


async def test_ten_thousand_short_flows_are_ten_thousand_records(records_folder: Path) -> None:
    with namespace() as space:
        sockets = prepare(space)
        attachment = Attachment("m1", BUNKER, POLICY, sockets, records_folder)
        part = FlowsPart()
        part.start(attachment)
        await asyncio.to_thread(space.inside, lambda: make_tcp_flows(EACH))
        sizes = await asyncio.to_thread(space.inside, lambda: make_udp_flows(EACH))
        await asyncio.to_thread(space.inside, flow_sockets.end_flows)
        await part.close()
        sent, received = counted(space, "sent"), counted(space, "received")
        sockets.close()
    told = records(records_folder)
    assert not [r for r in told if "dropped" in r]
    assert len(told) == 2 * EACH
    tcp, udp = of(told, "tcp"), of(told, "udp")
    assert len(tcp) == len(udp) == EACH
    assert sum(r["bytes_sent"] for r in tcp) == sent[1]
    assert sum(r["packets_sent"] for r in tcp) == sent[0]
    assert sum(r["bytes_received"] for r in tcp) == received[1]
    for r in udp:
        size = sizes.pop(r["source_port"])
        assert (r["bytes_sent"], r["packets_sent"]) == (size + IP_UDP, 1)
        assert (r["bytes_received"], r["packets_received"]) == (
            min(size, (r["source_port"] - 20_000) % 7) + IP_UDP,
            1,
        )
    assert sizes == {}
    assert {r["verdict"] for r in told} == {"allowed"}
    assert {r["bunker_id"] for r in told} == {BUNKER}
    assert {(r["destination_address"], r["destination_port"]) for r in told} == {
        ("127.0.0.1", TCP_PORT),
        ("127.0.0.1", UDP_PORT),
    }


async def test_a_flood_of_refused_packets_is_counted_to_the_last(records_folder: Path) -> None:
    count = 30_000
    with namespace() as space:
        sockets = prepare(space)
        part = FlowsPart()
        part.start(Attachment("m1", BUNKER, POLICY, sockets, records_folder))
        await asyncio.to_thread(space.inside, lambda: flood(count))
        # Numbers that are missing show with the next one that is not.
        await until(lambda: waits_no_more(sockets))
        await asyncio.to_thread(space.inside, lambda: flood(1))
        await part.close()
        sockets.close()
    told = records(records_folder)
    refused = [r for r in told if r.get("verdict") == "refused"]
    assert {r["reason"] for r in refused} == {"closed"}
    assert {r["destination_port"] for r in refused} == {999}
    lost = sum(r["dropped"] for r in told if r.get("reason") == "flood")
    assert lost
    assert sum(r["packets_sent"] for r in refused) + lost == count + 1


async def test_flows_for_which_the_disk_has_no_room_are_counted(records_folder: Path) -> None:
    with namespace() as space:
        sockets = prepare(space)
        part = FlowsPart(lambda each: Spool(each, Room(Bounds(one=400_000, free=0))))
        part.start(Attachment("m1", BUNKER, POLICY, sockets, records_folder))
        await asyncio.to_thread(space.inside, lambda: make_udp_flows(EACH))
        await asyncio.to_thread(space.inside, flow_sockets.end_flows)
        await part.close()
        sockets.close()
    told = records(records_folder)
    flows = of(told, "udp")
    assert 0 < len(flows) < EACH
    assert len(flows) + sum(r["dropped"] for r in told if "dropped" in r) == EACH
    assert sum(path.stat().st_size for path in records_folder.iterdir()) <= 400_000 + 64 * 1024


async def test_the_name_is_the_one_of_when_the_flow_began(records_folder: Path) -> None:
    with namespace() as space:
        sockets = prepare(space)
        attachment = Attachment("m1", BUNKER, POLICY, sockets, records_folder)
        local = ipaddress.ip_address("127.0.0.1")
        attachment.answers.learn("pypi.registry.test", local, 3600)
        part = FlowsPart()
        part.start(attachment)
        await asyncio.to_thread(space.inside, lambda: make_udp_flows(1))
        await until(lambda: waits_no_more(sockets))
        attachment.answers.learn("evil.test", local, 7200)
        await asyncio.to_thread(space.inside, lambda: make_tcp_flows(1))
        await until(lambda: waits_no_more(sockets))
        await asyncio.to_thread(space.inside, flow_sockets.end_flows)
        await part.close()
        sockets.close()
    told = {r["protocol"]: r["host"] for r in records(records_folder)}
    assert told == {"udp": "pypi.registry.test", "tcp": "evil.test"}


def waits_no_more(sockets: Sockets) -> bool:
    """Whether everything that the kernel has told has been read."""
    told = [sock for sock in (sockets.conntrack, sockets.refusals) if sock is not None]
    readable, _, _ = select.select(told, [], [], 0)
    return not readable
