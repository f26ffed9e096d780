"""Addresses of interfaces on bridges."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from scaibunker.controller.bridges import macs


@settings(deadline=None)
@given(st.text(), st.text(), st.integers(0, 5))
def test_a_derived_address_is_of_one_interface_and_local(
    bunker: str, name: str, attempt: int
) -> None:
    mac = macs.derived(bunker, name, attempt)
    assert macs.normal(mac) == mac == macs.derived(bunker, name, attempt)
    assert int(mac[:2], 16) & macs.LOCAL_BIT
    assert mac != macs.derived(bunker, name, attempt + 1)


@pytest.mark.parametrize(
    ("mac", "rule"),
    [
        ("01:00:5E:00:00:01", "not of a group"),
        ("FF:FF:FF:FF:FF:FF", "not of a group"),
        ("00:00:00:00:00:00", "all zero"),
    ],
)
def test_what_no_interface_can_have_is_refused(mac: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        macs.normal(mac)


def test_an_address_may_be_a_makers() -> None:
    assert macs.normal("52:54:00:AB:CD:EF") == "52:54:00:ab:cd:ef"
    assert macs.normal("00:1B:21:00:00:01") == "00:1b:21:00:00:01"
