"""What no bunker may reach."""

import ipaddress
from timeit import timeit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaibunker.worker.network.never import NOWHERE, PRIVATE, WRAPPED, Never, networks
from scaibunker.worker.network.policy import Passage

NEAR = networks("203.0.113.7/32", "2001:db8::7/128", "198.51.100.0/24", "2001:db8:1::/48")


@pytest.mark.parametrize("passage", [Passage.NAMED, Passage.OPEN])
@pytest.mark.parametrize(
    ("address", "forbidden"),
    [
        ("203.0.113.7", True),
        ("203.0.113.8", False),
        ("198.51.100.255", True),
        ("198.51.101.0", False),
        ("2001:db8::7", True),
        ("2001:db8::8", False),
        ("2001:db8:1:2::3", True),
        ("127.0.0.1", True),
        ("169.254.169.254", True),
        ("100.100.100.200", True),
        ("168.63.129.16", True),
        ("192.0.0.192", True),
        ("fd00:ec2::254", True),
        ("fd20:ce::254", True),
        ("fd00:42::42", True),
        ("fd00:c1::a9fe:a9fe", True),
        ("::ffff:0:a9fe:a9fe", True),
        ("::ffff:203.0.113.8", True),
    ],
)
def test_the_vicinity_is_closed_for_all(address: str, forbidden: bool, passage: Passage) -> None:
    assert Never(NEAR).forbids(ipaddress.ip_address(address), passage) is forbidden


def test_what_the_operator_permits_does_not_open_metadata() -> None:
    never = Never((), networks("100.64.0.0/10", "fc00::/7"))
    for address in ("100.100.100.200", "fd20:ce::254"):
        assert never.forbids(ipaddress.ip_address(address), Passage.NAMED)


@given(st.lists(st.ip_addresses(), max_size=20), st.ip_addresses(), st.sampled_from(Passage))
@settings(deadline=None)
def test_an_address_is_forbidden_if_a_range_has_it(
    near: list[ipaddress.IPv4Address | ipaddress.IPv6Address],
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    passage: Passage,
) -> None:
    never = Never((*map(ipaddress.ip_network, near), *NEAR))
    ranges = [*never.vicinity, *NOWHERE, *WRAPPED]
    if passage is not Passage.OPEN:
        ranges += PRIVATE
    inside = any(address.version == r.version and address in r for r in ranges)
    assert never.forbids(address, passage) is inside


def test_a_large_deployment_costs_no_more_than_a_small_one() -> None:
    many = Never(tuple(ipaddress.ip_network(f"203.{n >> 8}.{n & 255}.1") for n in range(20_000)))
    few = Never(many.vicinity[:1])
    address = ipaddress.ip_address("198.51.100.9")

    def cost(never: Never) -> float:
        return min(timeit(lambda: never.forbids(address, Passage.OPEN), number=200) for _ in "abc")

    assert cost(many) < 20 * cost(few)


def test_equal_is_what_says_the_same() -> None:
    assert Never(NEAR) == Never(networks(*map(str, NEAR)))
    assert Never(NEAR) != Never(NEAR[:1])
