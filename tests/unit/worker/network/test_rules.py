"""What the rulesets say, whatever they are made of. That packets fare accordingly, `tests/host` shows."""

import ipaddress
import re
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaibunker.worker.network import openings
from scaibunker.worker.network.facts import HostFacts, SlotFacts
from scaibunker.worker.network.host_rules import host_ruleset, host_update
from scaibunker.worker.network.never import Address, Network, Never, networks
from scaibunker.worker.network.policy import Passage, Policy
from scaibunker.worker.network.rules import link_local, never_update, slot_ruleset

FACTS = SlotFacts(
    transfer_v4=IPv4Address("198.19.0.3"),
    transfer_v6=IPv6Address("fd5c:a1ba:9001::3"),
    host_transfer_v4=IPv4Address("198.19.0.2"),
    host_transfer_v6=IPv6Address("fd5c:a1ba:9001::2"),
    mtu=1500,
    max_flows=777,
)
HOST = HostFacts(
    "scaibunker_abcdef", "sbkabcdef",
    *(ipaddress.ip_network(r) for r in ("198.19.0.0/16", "fd5c:a1ba:9001::/64")),
)  # type: ignore[arg-type]  # fmt: skip
NEVER = Never(networks("203.0.113.20/32", "2001:db8:1::20/128"))
SLOTTED = (Passage.CLOSED, Passage.NAMED, Passage.OPEN)
BASE = re.compile(r"type (\w+) hook (\w+) priority (-?\d+); policy (\w+);")
SET = re.compile(r"add element inet \w+ (\w+) \{ ([^}]*) \}")

v4_ranges = st.builds(
    lambda a, p: ipaddress.ip_network((a, p), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(8, 32),
)
v6_ranges = st.builds(
    lambda a, p: ipaddress.ip_network((a.to_bytes(16, "big"), p), strict=False),
    st.integers(0, 2**128 - 1),
    st.integers(16, 128),
)
ranges = st.lists(st.one_of(v4_ranges, v6_ranges), max_size=30)


def _policy(passage: Passage, *, audited: bool = False) -> Policy:
    return Policy(passage, 100, audited=audited)


def _sets(text: str) -> dict[str, list[tuple[Address, Address]]]:
    """The first and the last address of each element."""
    found = {}
    for name, elements in SET.findall(text):
        ends = [element.split("-") for element in elements.split(", ")]
        found[name] = [(ipaddress.ip_address(a), ipaddress.ip_address(b)) for a, b in ends]
    return found


@pytest.mark.parametrize("audited", [False, True])
@pytest.mark.parametrize("passage", SLOTTED)
def test_whatever_was_there_goes_in_the_same_transaction(passage: Passage, audited: bool) -> None:
    lines = slot_ruleset(_policy(passage, audited=audited), FACTS, NEVER).splitlines()
    assert lines[:4] == [
        "add table inet scaibunker",
        "delete table inet scaibunker",
        "add table arp scaibunker",
        "delete table arp scaibunker",
    ]
    rest = [line for line in lines[4:-4] if line.startswith(("add table", "delete", "flush"))]
    # What the gateway has had the rules learn stays while they stay NAMED.
    end = "flush" if passage is Passage.NAMED else "delete"
    assert rest == [f"{do} table inet {openings.TABLE}" for do in ("add", end)]


@pytest.mark.parametrize("passage", SLOTTED)
def test_what_no_chain_names_is_dropped(passage: Passage) -> None:
    found = BASE.findall(slot_ruleset(_policy(passage), FACTS, NEVER))
    assert {hook for kind, hook, _, _ in found if kind == "filter"} >= {
        "prerouting",
        "input",
        "forward",
    }
    assert {policy for kind, _, _, policy in found if kind == "filter"} == {"drop"}


def test_closed_accepts_nothing() -> None:
    text = slot_ruleset(_policy(Passage.CLOSED, audited=True), FACTS, NEVER)
    assert "accept" not in text
    assert "jump" not in text
    assert "goto" not in text
    assert {hook for _, hook, _, _ in BASE.findall(text)} == {
        "prerouting",
        "input",
        "forward",
        "output",
    }


def test_named_forwards_nothing_and_lets_nothing_in() -> None:
    text = slot_ruleset(_policy(Passage.NAMED), FACTS, NEVER).partition(openings.TABLE)[0]
    forward = text[text.index("chain forward {") :].split("}")[0]
    assert "accept" not in forward
    assert FACTS.uplink not in text
    assert "snat" not in text


def test_open_diverts_nothing() -> None:
    text = slot_ruleset(_policy(Passage.OPEN), FACTS, NEVER)
    assert "dnat" not in text
    assert str(FACTS.proxy_port) + " ct status" not in text


@pytest.mark.parametrize("passage", [Passage.NAMED, Passage.OPEN])
def test_refusals_are_told_only_where_there_is_an_audit(passage: Passage) -> None:
    told = slot_ruleset(_policy(passage, audited=True), FACTS, NEVER)
    ways = 5 if passage is Passage.NAMED else 3
    assert told.count(f"group {FACTS.refusals_group} snaplen") == ways
    assert "log" not in slot_ruleset(_policy(passage), FACTS, NEVER).replace("goto", "")
    # Nothing else is different.
    assert [line for line in told.splitlines() if " log " not in line] == slot_ruleset(
        _policy(passage), FACTS, NEVER
    ).splitlines()


def test_the_limits_are_the_slots() -> None:
    each = 2 * 777 // 128
    assert f"ct count over {each} }}" in slot_ruleset(_policy(Passage.OPEN), FACTS, NEVER)


def test_names_and_bandwidth_make_no_difference() -> None:
    one = Policy(Passage.NAMED, 10, names=("a.test",))
    two = Policy(Passage.NAMED, 1000, names=("b.test", "*.c.test"))
    assert slot_ruleset(one, FACTS, NEVER) == slot_ruleset(two, FACTS, NEVER)


def test_what_is_bridged_has_no_slot() -> None:
    with pytest.raises(ValueError, match="bridged"):
        slot_ruleset(_policy(Passage.BRIDGED), FACTS, NEVER)


def test_a_link_local_address_is_made_of_the_mac() -> None:
    assert link_local("02:5c:a1:00:00:02") == IPv6Address("fe80::5c:a1ff:fe00:2")
    assert link_local("00:1b:44:11:3a:b7") == IPv6Address("fe80::21b:44ff:fe11:3ab7")


@settings(deadline=None)
@given(vicinity=ranges, probes=st.lists(st.integers(0, 2**128 - 1), max_size=20))
def test_the_sets_hold_what_is_permitted_and_nothing_else(
    vicinity: list[Network], probes: list[int]
) -> None:
    never = Never(tuple(vicinity))
    sets = _sets(slot_ruleset(_policy(Passage.OPEN), FACTS, never))
    addresses = [r[0] for r in vicinity] + [r[-1] for r in vicinity]
    addresses += [IPv6Address(p) for p in probes] + [IPv4Address(p % 2**32) for p in probes]
    for address in addresses:
        held = any(a <= address <= b for a, b in sets[f"reach{address.version}"])  # type: ignore[operator]
        assert held != never.forbids(address, Passage.OPEN), address


@settings(deadline=None)
@given(vicinity=ranges)
def test_elements_of_a_set_do_not_touch(vicinity: list[Network]) -> None:
    """nftables would refuse them, or make one of them."""
    for found in _sets(slot_ruleset(_policy(Passage.OPEN), FACTS, Never(tuple(vicinity)))).values():
        ends = [int(end) for element in found for end in element]
        assert all(a <= b for a, b in found)  # type: ignore[operator]
        assert all(b + 1 < a for b, a in zip(ends[1::2], ends[2::2], strict=False))


def test_nothing_is_permitted_by_a_miss() -> None:
    """A set may be empty for the packet that is judged while rulesets change."""
    for passage in (Passage.NAMED, Passage.OPEN):
        for line in slot_ruleset(_policy(passage), FACTS, NEVER).splitlines():
            if (
                re.search(r"(?<!!= )(@reach|\{ \S+.* \})", line)
                and not line.startswith(("set", "add", "flush"))
                and "update @" not in line
            ):
                assert line.endswith(("accept", "packets accept")), line


@settings(deadline=None)
@given(vicinity=ranges)
def test_an_update_says_the_same_as_a_whole_ruleset(vicinity: list[Network]) -> None:
    never = Never(tuple(vicinity))
    for whole, update in (
        (slot_ruleset(_policy(Passage.OPEN), FACTS, never), never_update(never)),
        (host_ruleset(HOST, never), host_update(HOST, never)),
    ):
        assert whole.endswith(update)
        flushed = re.findall(r"flush set inet \w+ (\w+)", update)
        assert flushed == [name for name, _ in SET.findall(update)] == ["reach4", "reach6"]


def test_the_hosts_table_speaks_of_this_workers_slots_only() -> None:
    text = host_ruleset(HOST, NEVER)
    found = BASE.findall(text)
    assert {policy for *_, policy in found} == {"accept"}
    chains = dict(re.findall(r"chain (\w+) \{\n(.*?)\n\}", text, re.DOTALL))
    own = f'"{HOST.uplinks}*"'
    for name in ("guard", "input"):
        assert chains[name].splitlines()[1] == f"iifname != {own} accept"
    for line in chains["forward"].splitlines()[1:]:
        assert f"ifname {own}" in line
    for line in chains["mask"].splitlines()[1:]:
        assert line.startswith(("ip saddr 198.19.0.0/16 ", "ip6 saddr fd5c:a1ba:9001::/64 "))


def test_the_way_out_may_be_given() -> None:
    given_out = HostFacts(
        HOST.table, HOST.uplinks, HOST.transfer_v4, HOST.transfer_v6, outward="eth7"
    )
    assert 'oifname != "eth7" counter name host_refused drop' in host_ruleset(given_out, NEVER)
    assert "eth7" not in host_ruleset(HOST, NEVER)
