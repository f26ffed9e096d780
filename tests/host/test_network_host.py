"""What the worker changes on its host, in a namespace that plays the host."""

import pytest

from scaibunker.worker.network import features, host, sysctls
from tests.host.own_namespace import namespace

pytestmark = pytest.mark.host


def test_a_host_becomes_a_router_and_keeps_its_own_way_out() -> None:
    def work() -> dict[str, str | None]:
        sysctls.apply([("ipv6/conf/lo/accept_ra", "1"), ("ipv4/ip_forward", "0")])
        host.become_router()
        host.become_router()
        names = (*host.FORWARDING, "ipv6/conf/lo/accept_ra", "ipv6/conf/default/accept_ra")
        return {name: sysctls.read(name) for name in names}

    with namespace() as ours:
        assert ours.inside(work) == {
            "ipv4/ip_forward": "1",
            "ipv6/conf/all/forwarding": "1",
            "ipv6/conf/lo/accept_ra": "2",
            "ipv6/conf/default/accept_ra": "1",
        }


def test_room_for_flows_is_made_where_it_can_be() -> None:
    """In a namespace it is its host's affair, and no reason to give up."""

    def work() -> str | None:
        host.make_room_for_flows()
        return sysctls.read(host.FLOWS)

    with namespace() as ours:
        found = ours.inside(work)
    assert found is None or int(found) > 0


def test_this_host_has_what_networks_need() -> None:
    assert features.missing() is None
    found = {feature.name for feature in features.probe()}
    assert found >= {"TAP", "veth", "ifb", "tbf", "redirect", "nftables", "conntrack", "nflog"}
