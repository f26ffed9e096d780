"""What an order means on this worker."""

from typing import Any

import pytest

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.network import InterfaceOrder, NetworkOrder
from scaibunker.worker.network.policies import policy_of
from scaibunker.worker.network.policy import Passage, Policy

REGISTRIES = ("*.files.registry.test", "pypi.registry.test")
ATTACHED = InterfaceOrder(if_name="eth0", bridge_id="brg_1", mac="02:00:00:00:00:01")


def read(profile: NetworkProfile, *, audited: bool = True, **fields: Any) -> Policy:
    order = NetworkOrder(profile=profile, **fields)
    return policy_of(order, REGISTRIES, 100, audited=audited)


@pytest.mark.parametrize(
    ("profile", "passage"),
    [
        (NetworkProfile.ISOLATED, Passage.CLOSED),
        (NetworkProfile.REGISTRY, Passage.NAMED),
        (NetworkProfile.ALLOWLISTED, Passage.NAMED),
        (NetworkProfile.UNRESTRICTED, Passage.OPEN),
        (NetworkProfile.TRANSIT, Passage.BRIDGED),
    ],
)
def test_each_profile_has_its_passage(profile: NetworkProfile, passage: Passage) -> None:
    assert read(profile).passage is passage


def test_every_profile_has_a_passage() -> None:
    for profile in NetworkProfile:
        assert isinstance(read(profile).passage, Passage)


def test_registry_permits_what_the_worker_lists_and_nothing_of_the_order() -> None:
    policy = read(NetworkProfile.REGISTRY, allowlist=["other.test"])
    assert policy.names == REGISTRIES


def test_allowlisted_permits_what_the_order_lists_and_no_registry() -> None:
    policy = read(NetworkProfile.ALLOWLISTED, allowlist=["api.example.test"])
    assert policy.names == ("api.example.test",)


@pytest.mark.parametrize(
    "profile", [NetworkProfile.ISOLATED, NetworkProfile.UNRESTRICTED, NetworkProfile.TRANSIT]
)
def test_other_profiles_name_nothing(profile: NetworkProfile) -> None:
    assert read(profile, allowlist=["api.example.test"]).names == ()


def test_interfaces_count_with_transit_alone() -> None:
    assert read(NetworkProfile.TRANSIT, interfaces=[ATTACHED]).interfaces == (ATTACHED,)
    assert read(NetworkProfile.UNRESTRICTED, interfaces=[ATTACHED]).interfaces == ()


def test_bandwidth_is_the_orders_or_the_workers() -> None:
    assert read(NetworkProfile.UNRESTRICTED).bandwidth_mbit == 100
    assert read(NetworkProfile.UNRESTRICTED, bandwidth_mbit=7).bandwidth_mbit == 7


def test_flows_are_recorded_where_there_are_any() -> None:
    audited = {profile for profile in NetworkProfile if read(profile).audited}
    assert audited == {
        NetworkProfile.REGISTRY,
        NetworkProfile.ALLOWLISTED,
        NetworkProfile.UNRESTRICTED,
    }
    assert not read(NetworkProfile.UNRESTRICTED, audited=False).audited
