"""What a slot's rules let pass, how they refuse, what they bound, and that they are replaced without a gap."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import pytest

from scaibunker.worker.gateway.openings import Openings
from scaibunker.worker.network import links, nft
from scaibunker.worker.network.flow_sockets import open_refusals
from scaibunker.worker.network.never import Never, networks
from scaibunker.worker.network.openings import LIFETIMES_S
from scaibunker.worker.network.policy import Passage, Policy
from scaibunker.worker.network.rules import (
    BUCKET_COUNT,
    DNS_BURST,
    NEW_BURST,
    never_update,
    slot_ruleset,
)
from tests.host.lab import Lab, plan
from tests.host.lab import packets as p
from tests.host.lab.packets import Ends, parse
from tests.host.lab.rig import NEVER, Rig
from tests.waiting import wait_until

pytestmark = pytest.mark.host

SOURCE_PORTS = itertools.count(41000)
SITE = {4: "203.0.113.100", 6: "2001:db8:1::64"}
FAMILIES = pytest.mark.parametrize("family", [4, 6])
OPEN, NAMED = Policy(Passage.OPEN, 100), Policy(Passage.NAMED, 100)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Lab.opened() as lab, Rig.opened(lab) as rig:
        yield rig


def udp(rig: Rig, to: str, port: int, data: bytes, source_port: int = 40000) -> bytes:
    ends = rig.to(to)
    return p.packet(ends, p.UDP, p.udp(ends, port, data, source_port=source_port))


def tcp(rig: Rig, to: str, port: int, source_port: int = 40000, **more: int) -> bytes:
    ends = rig.to(to)
    return p.packet(ends, p.TCP, p.tcp(ends, port, source_port=source_port, **more))


def is_error(frame: bytes) -> bool:
    """ICMP that says: prohibited by whoever administers this."""
    seen = parse(frame)
    return (seen.protocol, seen.payload[:2]) in ((p.ICMP, b"\x03\x0d"), (p.ICMPV6, b"\x01\x01"))


def is_tcp(frame: bytes, flags: int, source: str = "") -> bool:
    seen = parse(frame)
    return seen.protocol == p.TCP and seen.tcp_flags == flags and source in (seen.source, "")


@FAMILIES
@pytest.mark.parametrize("policy", [OPEN, NAMED], ids=["open", "named"])
def test_the_gateway_is_found_and_answers_for_names(rig: Rig, policy: Policy, family: int) -> None:
    rig.enforce(policy)
    gateway = rig.gateway_v4 if family == 4 else rig.gateway_v6
    if family == 4:
        ends = Ends("", "", rig.facts.guest_mac, p.BROADCAST)
        rig.guest.send(
            p.arp(ends, 1, sender_mac=rig.facts.guest_mac, sender="198.18.0.2", target=gateway)
        )
        reply = rig.guest.wait(lambda f: parse(f).kind == p.ARP)
        assert reply[22:28] == p.mac_bytes(rig.facts.gateway_mac)
    else:
        for source in (str(rig.facts.guest_v6.ip), rig.guest_link_local):
            rig.guest.clear()
            ends = Ends(source, "ff02::1:ff00:1", rig.facts.guest_mac, "33:33:ff:00:00:01")
            body = bytes(4) + p.address_bytes(gateway)
            body += b"\x01\x01" + p.mac_bytes(rig.facts.guest_mac)
            rig.guest.send(p.packet(ends, p.ICMPV6, p.icmpv6(ends, 135, 0, body), hops=255))
            rig.guest.wait(lambda f: parse(f).protocol == p.ICMPV6 and parse(f).icmp == (136, 0))
    with (
        rig.listening(socket.SOCK_DGRAM, gateway, 53) as datagrams,
        rig.listening(socket.SOCK_STREAM, gateway, 53),
    ):
        rig.guest.send(udp(rig, gateway, 53, b"a question"))
        datagrams.settimeout(5)
        data, peer = datagrams.recvfrom(100)
        assert data == b"a question"
        datagrams.sendto(b"an answer", peer)
        rig.guest.wait(lambda f: b"an answer" in f)
        rig.guest.send(tcp(rig, gateway, 53))
        rig.guest.wait(lambda f: is_tcp(f, p.SYN | p.ACK, gateway))


@FAMILIES
def test_open_reaches_the_world_and_has_its_answers(rig: Rig, family: int) -> None:
    rig.enforce(OPEN)
    log = rig.lab.log
    log.clear()
    site, host = SITE[family], plan.HOST_V4 if family == 4 else plan.HOST_V6
    rig.guest.send(udp(rig, site, 7, b"an echo"))
    rig.guest.wait(lambda f: b"an echo" in f and parse(f).source == site)
    assert log.wait(local=site, transport="udp").peer == host  # masked twice
    transfer = str(rig.facts.transfer_v4 if family == 4 else rig.facts.transfer_v6)
    (out,) = rig.up.frames(lambda f: b"an echo" in f and parse(f).destination == site)
    assert parse(out).source == transfer
    rig.guest.send(tcp(rig, site, 80))
    rig.guest.wait(lambda f: is_tcp(f, p.SYN | p.ACK, site))


@FAMILIES
def test_open_may_ask_for_an_echo(rig: Rig, family: int) -> None:
    rig.enforce(OPEN)
    ends = rig.to(SITE[family])
    body = b"\x12\x34\0\x01" + b"ping"
    if family == 4:
        rig.guest.send(p.packet(ends, p.ICMP, p.icmp(8, 0, body)))
    else:
        rig.guest.send(p.packet(ends, p.ICMPV6, p.icmpv6(ends, 128, 0, body)))
    rig.guest.wait(lambda f: b"ping" in f and parse(f).icmp in ((0, 0), (129, 0)))


@FAMILIES
def test_open_may_ask_another_for_names_and_private_networks_for_anything(
    rig: Rig, family: int
) -> None:
    rig.enforce(OPEN)
    other = plan.OTHER_DNS_V4 if family == 4 else plan.OTHER_DNS_V6
    for port, (to, at) in enumerate(
        [(other, 53), ("10.99.1.2" if family == 4 else "fd99::7", 7)], 40100
    ):
        rig.lab.log.clear()
        query = bytes.fromhex("123401000001000000000000") + b"\x01a\x04test\0\0\x01\0\x01"
        rig.guest.send(udp(rig, to, at, query, port))
        rig.lab.log.wait(local=to, port=at)


@FAMILIES
def test_named_diverts_tcp_to_the_proxy_where_the_gateway_says_so(rig: Rig, family: int) -> None:
    rig.enforce(NAMED)
    site = SITE[family]
    gateway = rig.gateway_v4 if family == 4 else rig.gateway_v6

    def is_refused(at: int, port: int) -> bool:
        rig.guest.clear()
        rig.guest.send(tcp(rig, site, at, port))
        answer = rig.guest.wait(lambda f: parse(f).protocol == p.TCP and parse(f).source == site)
        return is_tcp(answer, p.RST | p.ACK)

    with (
        rig.listening(socket.SOCK_DGRAM, gateway, rig.facts.dns_port) as resolver,
        rig.listening(socket.SOCK_STREAM, gateway, rig.facts.proxy_port) as proxy,
    ):
        assert is_refused(443, 40190)
        # A guest that says what the gateway would say is no gateway.
        rig.guest.send(udp(rig, site, len(LIFETIMES_S), b"", rig.facts.dns_port))
        assert is_refused(443, 40191)
        Openings([resolver]).open(ip_address(site), 3)
        assert not is_refused(443, 40192)
        wait_until(lambda: is_refused(443, next(SOURCE_PORTS)), 10)  # its time is over
        Openings([resolver]).open(ip_address(site), 300)
        rig.enforce(NAMED)  # other rules, the same knowledge
        assert is_refused(53, 40193)
        assert is_refused(853, 40194)
        for port, at in enumerate([443, 7], 40200):
            rig.guest.clear()
            rig.guest.send(tcp(rig, site, at, port))
            answer = rig.guest.wait(lambda f: is_tcp(f, p.SYN | p.ACK, site))
            theirs = int.from_bytes(parse(answer).payload[4:8], "big")
            rig.guest.clear()
            rig.guest.send(tcp(rig, site, at, port, flags=p.ACK, number=2, acknowledged=theirs + 1))
            proxy.settimeout(5)
            accepted, peer = proxy.accept()
            with accepted:
                assert peer[0] == str(
                    rig.facts.guest_v4.ip if family == 4 else rig.facts.guest_v6.ip
                )
                level = socket.IPPROTO_IP if family == 4 else socket.IPPROTO_IPV6
                wanted = accepted.getsockopt(level, 80, 28)  # SO_ORIGINAL_DST
                assert int.from_bytes(wanted[2:4], "big") == at
                assert p.address_bytes(site) in wanted
    assert not rig.up.frames(lambda f: parse(f).protocol in (p.TCP, p.UDP))


@FAMILIES
@pytest.mark.parametrize(
    ("policy", "to"), [(NAMED, SITE), (OPEN, {4: plan.METADATA_V4, 6: plan.METADATA_V6})],
    ids=["named", "open"],
)  # fmt: skip
def test_what_is_refused_fails_at_once(
    rig: Rig, policy: Policy, to: dict[int, str], family: int
) -> None:
    rig.enforce(policy)
    refused = rig.count("refused")
    for source_port in range(40300, 40320):  # the kernel itself would answer a few a second
        rig.guest.clear()
        rig.guest.send(udp(rig, to[family], 443, b"hello?", source_port))
        rig.guest.wait(is_error)
    if policy is OPEN:
        rig.guest.send(tcp(rig, to[family], 80))
        rig.guest.wait(lambda f: is_tcp(f, p.RST | p.ACK, to[family]))
    assert rig.count("refused") - refused == (21 if policy is OPEN else 20)


def test_a_connection_that_is_not_known_is_reset(rig: Rig) -> None:
    """Such as one from before the policy."""
    for policy in (OPEN, NAMED):
        rig.enforce(policy)
        rig.guest.send(tcp(rig, SITE[4], 80, flags=p.ACK, number=7, acknowledged=9))
        rig.guest.wait(lambda f: is_tcp(f, p.RST, SITE[4]))


@pytest.mark.parametrize("audited", [True, False])
def test_refusals_are_told_with_their_reason(rig: Rig, audited: bool) -> None:
    policy = Policy(Passage.OPEN, 100, audited=audited)
    rig.enforce(policy)
    with rig.inside.call(open_refusals) as told:
        rig.guest.send(udp(rig, plan.METADATA_V4, 80, b"secret?"))
        rig.guest.wait(is_error)
        data = b""

        def come() -> bool:
            nonlocal data
            with contextlib.suppress(BlockingIOError):
                data += told.recv(65536)
            return b"secret?" in data

        if audited:
            wait_until(come, 30, lambda: data)
            assert b"never\0" in data
        else:
            assert not come()


def test_new_connections_are_bounded_in_time(rig: Rig) -> None:
    rig.enforce(OPEN)
    limited, ends = rig.count("limited"), rig.to(SITE[4])
    for port in range(10000, 10000 + 3 * NEW_BURST):
        rig.guest.send(p.packet(ends, p.UDP, p.udp(ends, 9, b"flood", source_port=port)))
    wait_until(lambda: rig.count("limited") - limited > NEW_BURST // 2, 10, lambda: "a limit")
    assert len(rig.up.frames(lambda f: b"flood" in f)) < 2.5 * NEW_BURST


def test_connections_are_bounded_in_number(rig: Rig) -> None:
    """Those whose source ports have the same bits are counted together; here all have."""
    each = 2 * rig.facts.max_flows // BUCKET_COUNT
    rig.enforce(OPEN)
    ends = rig.to(SITE[4])
    frames = [
        p.packet(ends, p.UDP, p.udp(ends, 1000 + n, b"many", source_port=20000))
        for n in range(2 * each)
    ]
    rig.guest.send(*frames)
    rig.guest.wait(is_error)
    wait_until(lambda: rig.count("refused") == each, 30, lambda: rig.count("refused"))
    seen = rig.up.frames(lambda f: b"many" in f and parse(f).destination == SITE[4])
    assert len(seen) == each
    # Those that are known go on, and so do others.
    rig.up.clear()
    rig.guest.send(p.packet(ends, p.UDP, p.udp(ends, 1000, b"more", source_port=20000)))
    rig.up.wait(lambda f: b"more" in f)
    rig.guest.send(p.packet(ends, p.UDP, p.udp(ends, 1000, b"else", source_port=20002)))
    rig.up.wait(lambda f: b"else" in f)


def test_questions_are_bounded(rig: Rig) -> None:
    rig.enforce(NAMED)
    with rig.listening(socket.SOCK_DGRAM, rig.gateway_v4, 53):
        question = udp(rig, rig.gateway_v4, 53, b"who?")
        rig.guest.send(*itertools.repeat(question, 4 * DNS_BURST))
        wait_until(lambda: rig.count("limited") > DNS_BURST, 10, lambda: "a limit")


@FAMILIES
def test_a_flow_ends_when_its_address_may_no_longer_be_reached(rig: Rig, family: int) -> None:
    rig.enforce(OPEN)
    site = SITE[family]
    rig.guest.send(udp(rig, site, 7, b"first"))
    rig.guest.wait(lambda f: b"first" in f)
    length = 32 if family == 4 else 128
    near = Never((*NEVER.vicinity, *networks(f"{site}/{length}")))
    rig.inside.call(lambda: nft.apply(never_update(near)))
    rig.guest.send(udp(rig, site, 7, b"second"))
    rig.guest.wait(is_error)
    assert not rig.up.frames(lambda f: b"second" in f)
    rig.inside.call(lambda: nft.apply(never_update(NEVER)))
    rig.guest.send(udp(rig, site, 7, b"third"))
    rig.guest.wait(lambda f: b"third" in f)


@contextlib.contextmanager
def flooding(rig: Rig) -> Iterator[Callable[[], int]]:
    """A guest that sends what is forbidden and what is permitted as fast as can be; how many of the latter so far."""
    spoofed = rig.to(SITE[4], source="198.19.0.3")
    frames = [
        udp(rig, plan.METADATA_V4, 80, b"forbidden"),
        p.packet(spoofed, p.UDP, p.udp(spoofed, 9, b"forbidden")),
        udp(rig, plan.METADATA_V6, 80, b"forbidden"),
        udp(rig, SITE[4], 9, b"permitted"),
        udp(rig, SITE[6], 9, b"permitted"),
    ]
    done, sent = threading.Event(), 0

    def flood() -> None:
        nonlocal sent
        while not done.is_set():
            rig.guest.send(*frames)
            rig.up.frames()
            sent += 2

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        yield lambda: sent
    finally:
        done.set()
        thread.join()


def test_there_is_no_moment_without_rules(rig: Rig) -> None:
    rig.enforce(OPEN)
    texts = [slot_ruleset(policy, rig.facts, NEVER) for policy in (OPEN, NAMED, OPEN)]

    def replace() -> None:
        for _ in range(60):
            for text in texts:
                nft.apply(text)

    with flooding(rig) as sent:
        rig.inside.call(replace)
        assert sent() > 100
    rig.guest.send(udp(rig, SITE[4], 9, b"the last"))
    rig.up.wait(lambda f: b"the last" in f)
    assert rig.up.frames(lambda f: b"permitted" in f)
    assert not rig.up.frames(lambda f: b"forbidden" in f)


def test_other_neighbours_disturb_no_flow(rig: Rig) -> None:
    rig.enforce(OPEN)
    more = Never((*NEVER.vicinity, *networks("198.51.100.77/32", "2001:db8:77::/48")))

    def update() -> None:
        for _ in range(60):
            nft.apply(never_update(more))
            nft.apply(never_update(NEVER))

    with flooding(rig) as sent:
        rig.inside.call(update)
    rig.guest.send(udp(rig, SITE[4], 9, b"the last"))
    rig.up.wait(lambda f: b"the last" in f)
    assert not rig.up.frames(lambda f: b"forbidden" in f)
    uplink = p.mac_bytes(links.uplink_mac(rig.slot.number))
    passed = rig.up.frames(lambda f: b"permitted" in f and f[6:12] == uplink)
    assert len(passed) == sent() > 100


def test_a_ruleset_that_is_refused_changes_nothing(rig: Rig) -> None:
    rig.enforce(NAMED)
    text = slot_ruleset(OPEN, rig.facts, NEVER).replace("ct state new", "ct state nonsense")
    with pytest.raises(nft.RulesNotApplied, match="conntrack state"):
        rig.inside.call(lambda: nft.apply(text))
    rig.guest.send(udp(rig, SITE[4], 7, b"hello?"))
    rig.guest.wait(is_error)


@FAMILIES
def test_a_smaller_path_is_told_to_the_guest(rig: Rig, family: int) -> None:
    rig.enforce(OPEN)
    ends = rig.to(SITE[family])
    large = p.packet(
        ends, p.UDP, p.udp(ends, 9, bytes(1400)), fragment=0x4000 if family == 4 else 0
    )
    rig.lab.host.ip("link", "set", "wan0", "mtu", "1300")
    try:
        rig.guest.send(large)
        told = (p.ICMP, (3, 4)) if family == 4 else (p.ICMPV6, (2, 0))
        frame = rig.guest.wait(
            lambda f: (parse(f).protocol, bytes(parse(f).payload[:2])) == (told[0], bytes(told[1]))
        )
        assert (
            p.address_bytes(ends.source) in parse(frame).payload[8:]
        )  # its own packet, as it sent it
        assert b"\x05\x14" in parse(frame).payload[:8]
    finally:
        rig.lab.host.ip("link", "set", "wan0", "mtu", "1500")
        rig.lab.host.run("ip", "route", "flush", "cache")


@FAMILIES
def test_large_answers_reach_the_guest(rig: Rig, family: int) -> None:
    """They come in fragments, which are judged as the whole that they are."""
    rig.enforce(OPEN)

    def listener() -> socket.socket:
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        made = socket.socket(kind, socket.SOCK_DGRAM)
        made.bind((SITE[family], 9999))
        made.settimeout(5)
        return made

    with rig.lab.world.call(listener) as far:
        rig.guest.send(udp(rig, SITE[family], 9999, b"send me much"))
        _, peer = far.recvfrom(100)
        far.sendto(b"much" * 750, peer)
        rig.guest.wait(lambda f: len(f) > 1300 and b"muchmuch" in f)
        rig.guest.wait(lambda f: len(f) < 1700 - 14 and f.endswith(b"much"))
        received = sum(
            f.count(b"much") for f in rig.guest.frames(lambda f: parse(f).source == SITE[family])
        )
        assert received >= 740


def test_the_outside_redirects_nobody(rig: Rig) -> None:
    rig.enforce(OPEN)
    rig.guest.send(udp(rig, SITE[4], 7, b"known"))
    rig.guest.wait(lambda f: b"known" in f)
    (sent,) = rig.up.frames(lambda f: b"known" in f and parse(f).destination == SITE[4])
    facts = rig.facts
    outer = Ends(
        str(facts.host_transfer_v4), str(facts.transfer_v4),
        links.host_mac(rig.slot.number), links.uplink_mac(rig.slot.number),
    )  # fmt: skip

    def error(kind: int, code: int) -> bytes:
        return p.packet(outer, p.ICMP, p.icmp(kind, code, bytes(4) + sent[14:42]))

    def send(frame: bytes) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((rig.slot.link, 0))
            raw.send(frame)

    rig.guest.clear()
    rig.lab.host.call(lambda: send(error(5, 1)))
    rig.lab.host.call(lambda: send(error(3, 3)))
    rig.guest.wait(lambda f: parse(f).protocol == p.ICMP and parse(f).icmp == (3, 3))
    assert not rig.guest.frames(lambda f: parse(f).protocol == p.ICMP and parse(f).icmp[0] == 5)
