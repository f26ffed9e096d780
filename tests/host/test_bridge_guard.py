"""What a guarded port may say of addresses: of its own MAC alone, and nothing that another guarded port has said before."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.worker.network.bridges import rules
from tests.host.bridged.frames import (
    ALL_NODES,
    ARP,
    BROADCAST,
    IPV4,
    NOBODY4,
    NOBODY6,
    NONCE_OPTION,
    QTAG,
    STAG,
    advertisement,
    arp,
    behind_options,
    fragment,
    frame,
    icmp,
    in_llc,
    mac,
    packet4,
    packet6,
    router_advertisement,
    router_solicitation,
    solicitation,
    source_option,
    tagged,
    target_option,
)
from tests.host.bridged.plugs import Plug
from tests.host.bridged.yard import Yard, yard

FOREIGN = "02:00:00:00:00:fe"
MINE4, THEIRS4 = "10.0.0.1", "10.0.0.2"
MINE6, THEIRS6 = "fd00::1", "fd00::2"


@pytest.fixture
async def lan(tmp_path: Path) -> AsyncIterator[Yard]:
    async with yard(tmp_path / "bridges") as made:
        yield made


async def passes(sender: Plug, receiver: Plug, *frames: bytes) -> list[bool]:
    """Which of them arrive."""
    sender.send(*frames)
    arrived = receiver.arrived(sender)
    return [each in arrived for each in frames]


async def test_arp_speaks_of_the_senders_own_mac(lan: Yard) -> None:
    one, other = await lan.plug(), await lan.plug()
    forged = arp(one.mac, FOREIGN, MINE4)
    bad = [
        forged,
        arp(one.mac, other.mac, MINE4, operation=1),
        tagged(forged, QTAG),
        tagged(forged, STAG),
        tagged(forged, QTAG, QTAG),
        tagged(arp(one.mac, one.mac, MINE4), STAG, QTAG),  # nobody looks behind the second tag
        in_llc(forged),
        arp(one.mac, one.mac, MINE4, operation=9),
        arp(one.mac, one.mac, MINE4, form=b"\0\6\x08\0\6\4"),
        arp(one.mac, one.mac, MINE4, form=b"\0\1\x08\0\0\4"),
        frame(BROADCAST, one.mac, ARP, b"\0\1"),
        arp(one.mac, FOREIGN, NOBODY4),
    ]
    good = [
        arp(one.mac, one.mac, MINE4),
        arp(one.mac, one.mac, NOBODY4, asks="10.0.0.9", operation=1),
        tagged(arp(one.mac, one.mac, MINE4), QTAG),
    ]
    assert await passes(one, other, *bad) == [False] * len(bad)
    assert await passes(one, other, *good) == [True] * len(good)


async def test_an_address_is_of_the_guarded_port_that_used_it_first(lan: Yard) -> None:
    one, other, third = await lan.plug("bnk_one"), await lan.plug(), await lan.plug()
    mine = arp(one.mac, one.mac, MINE4)
    assert await passes(one, third, mine) == [True]
    stolen = [
        arp(other.mac, other.mac, MINE4),
        arp(other.mac, other.mac, MINE4, operation=1),
        tagged(arp(other.mac, other.mac, MINE4), QTAG),
    ]
    assert await passes(other, third, *stolen) == [False] * 3
    assert await passes(one, third, mine) == [True]
    assert await passes(other, third, arp(other.mac, other.mac, THEIRS4)) == [True]
    await lan.networks.give_back("bnk_one")
    assert await passes(other, third, *stolen) == [True] * 3


async def test_what_one_port_claims_has_a_bound_and_leaves_room_for_others(lan: Yard) -> None:
    one, other, third = await lan.plug(), await lan.plug(), await lan.plug()
    many = [arp(one.mac, one.mac, f"10.1.0.{n}") for n in range(rules.MAX_CLAIMS + 20)]
    assert (await passes(one, third, *many)).count(True) == rules.MAX_CLAIMS
    assert await passes(one, third, many[0], many[-1]) == [True, False]
    assert await passes(other, third, arp(other.mac, other.mac, "10.1.0.250")) == [True]


async def test_claims_outlive_a_daemon(lan: Yard) -> None:
    one, other, third = await lan.plug("bnk_one"), await lan.plug(), await lan.plug()
    assert await passes(one, third, arp(one.mac, one.mac, MINE4)) == [True]
    await lan.restart()
    await lan.networks.admit("bnk_one", lan.owner(), lan.order(one.mac))
    assert await passes(other, third, arp(other.mac, other.mac, MINE4)) == [False]
    await lan.networks.give_back("bnk_one")
    assert await passes(other, third, arp(other.mac, other.mac, MINE4)) == [True]


async def test_a_port_without_guard_passes_on_what_others_say(lan: Yard) -> None:
    one, appliance, third = await lan.plug(), await lan.plug(guard=False), await lan.plug()
    assert await passes(one, third, arp(one.mac, one.mac, MINE4)) == [True]
    passed_on = [
        arp(FOREIGN, FOREIGN, MINE4),
        icmp(FOREIGN, MINE6, advertisement(MINE6, target_option(FOREIGN))),
    ]
    assert await passes(appliance, third, *passed_on) == [True, True]
    # It claims nothing by that.
    assert await passes(one, third, arp(one.mac, one.mac, MINE4)) == [True]


async def test_advertisements_speak_of_the_senders_own_mac(lan: Yard) -> None:
    one, other = await lan.plug(), await lan.plug()
    own, foreign = target_option(one.mac), target_option(FOREIGN)
    forged = advertisement(MINE6, foreign)
    bad = [
        icmp(one.mac, MINE6, forged),
        tagged(icmp(one.mac, MINE6, forged), QTAG),
        tagged(icmp(one.mac, MINE6, forged), STAG),
        icmp(one.mac, MINE6, advertisement(MINE6, own, foreign)),
        icmp(one.mac, MINE6, advertisement(MINE6, NONCE_OPTION, foreign)),
        icmp(one.mac, MINE6, advertisement(MINE6, source_option(one.mac))),
        behind_options(one.mac, MINE6, forged),
        behind_options(one.mac, MINE6, advertisement(MINE6)),
        icmp(one.mac, MINE6, forged[:20]),
        icmp(one.mac, NOBODY6, advertisement(MINE6)),
    ]
    good = [
        icmp(one.mac, MINE6, advertisement(MINE6)),
        icmp(one.mac, MINE6, advertisement(MINE6, own)),
    ]
    assert await passes(one, other, *bad) == [False] * len(bad)
    assert await passes(one, other, *good) == [True] * len(good)


async def test_neighbour_discovery_does_not_pass_in_fragments(lan: Yard) -> None:
    one, other = await lan.plug(), await lan.plug()
    forged = advertisement(MINE6, target_option(FOREIGN))
    hidden = bytes([58, 1, 1, 4, 0, 0, 0, 0]) + bytes(8) + forged  # 16 bytes of options before it
    bad = [
        fragment(one.mac, MINE6, 58, forged, more=False),
        fragment(one.mac, MINE6, 58, forged[:8]),
        fragment(one.mac, MINE6, 58, forged[:16]),
        fragment(one.mac, MINE6, 60, hidden[:8]),  # what it is comes with the next one
        fragment(one.mac, MINE6, 60, hidden[:16]),
        fragment(one.mac, MINE6, 43, bytes([58, 2]) + bytes(6)),
        fragment(one.mac, MINE6, 58, b""),
    ]
    echo = b"\x80\0\0\0\0\1\0\1" + b"x" * 1000
    good = [
        fragment(one.mac, MINE6, 58, echo),
        fragment(one.mac, MINE6, 58, b"y" * 64, offset=1008, more=False),
        fragment(one.mac, MINE6, 17, b"z" * 64),
    ]
    assert await passes(one, other, *bad) == [False] * len(bad)
    assert await passes(one, other, *good) == [True] * len(good)


async def test_an_address_of_ipv6_is_of_the_guarded_port_that_used_it_first(lan: Yard) -> None:
    one, other, third = await lan.plug("bnk_one"), await lan.plug(), await lan.plug()
    own = icmp(one.mac, MINE6, advertisement(MINE6, target_option(one.mac)))
    assert await passes(one, third, own) == [True]
    mine, theirs = target_option(other.mac), source_option(other.mac)
    stolen = [
        icmp(other.mac, MINE6, advertisement(MINE6, mine)),
        icmp(other.mac, THEIRS6, advertisement(MINE6, mine)),  # whoever it says that it is
        icmp(other.mac, MINE6, solicitation(THEIRS6, theirs)),
        icmp(other.mac, MINE6, solicitation(THEIRS6)),
        icmp(other.mac, MINE6, router_solicitation(theirs)),
        icmp(other.mac, MINE6, router_advertisement()),
    ]
    assert await passes(other, third, *stolen) == [False] * len(stolen)
    assert await passes(one, third, own) == [True]
    assert await passes(other, third, icmp(other.mac, THEIRS6, advertisement(THEIRS6))) == [True]
    await lan.networks.give_back("bnk_one")
    assert await passes(other, third, *stolen) == [True] * len(stolen)


async def test_questions_of_neighbours_speak_of_the_senders_own_mac(lan: Yard) -> None:
    one, other = await lan.plug(), await lan.plug()
    own, foreign = source_option(one.mac), source_option(FOREIGN)
    bad = [
        icmp(one.mac, MINE6, solicitation(THEIRS6, foreign)),
        icmp(one.mac, MINE6, solicitation(THEIRS6, NONCE_OPTION, foreign)),
        icmp(one.mac, MINE6, router_solicitation(foreign)),
        icmp(one.mac, NOBODY6, router_solicitation(own)),
        icmp(one.mac, NOBODY6, router_advertisement()),
    ]
    good = [
        icmp(one.mac, MINE6, solicitation(THEIRS6, own)),
        icmp(one.mac, MINE6, router_solicitation(own)),
        icmp(one.mac, NOBODY6, solicitation(MINE6)),  # whether it is free
        icmp(one.mac, NOBODY6, solicitation(MINE6, NONCE_OPTION)),
        icmp(one.mac, NOBODY6, router_solicitation()),
        icmp(one.mac, MINE6, router_advertisement()),
    ]
    assert await passes(one, other, *bad) == [False] * len(bad)
    assert await passes(one, other, *good) == [True] * len(good)


async def test_everything_else_passes(lan: Yard) -> None:
    one, other = await lan.plug(), await lan.plug()
    good = [
        packet4(other.mac, one.mac, MINE4, "anything"),
        packet4(other.mac, one.mac, "192.0.2.77", "a router's guests"),
        tagged(packet4(other.mac, one.mac, MINE4, "on a VLAN"), QTAG),
        frame(other.mac, one.mac, IPV4, b"\x46 with options, and broken"),
        packet6(one.mac, MINE6, 17, b"\0\1\0\2\0\x0c\0\0data", other.mac),
        packet6(one.mac, MINE6, 50, b"encrypted", other.mac),
        icmp(one.mac, MINE6, b"\x80\0\0\0\0\1\0\1ping", other.mac),
        icmp(one.mac, MINE6, b"\x8f\0\0\0\0\0\0\0", ALL_NODES),  # of groups
    ]
    assert await passes(one, other, *good) == [True] * len(good)
    assert mac(one.mac) == good[0][6:12]
