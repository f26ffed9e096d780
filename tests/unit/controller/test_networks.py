"""What a worker is ordered for a bunker's network."""

import pytest
from pydantic import ValidationError

from scaibunker.controller.bunkers.domain import Network
from scaibunker.controller.bunkers.networks import order_of
from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.machines import MachineSpec
from scaibunker.wire.worker.network import NetworkOrder
from tests.unit.worker.fake_host import spec


def test_isolated_is_no_network() -> None:
    assert order_of(Network(NetworkProfile.ISOLATED, bandwidth_mbit=10)) is None


def test_a_profile_goes_with_what_belongs_to_it() -> None:
    network = Network(NetworkProfile.ALLOWLISTED, allowlist=["example.com"], bandwidth_mbit=10)
    assert order_of(network) == NetworkOrder(
        profile=NetworkProfile.ALLOWLISTED, allowlist=["example.com"], bandwidth_mbit=10
    )
    assert order_of(Network(NetworkProfile.REGISTRY)) == NetworkOrder(
        profile=NetworkProfile.REGISTRY
    )


def test_interfaces_go_with_the_ids_of_their_bridges() -> None:
    entry = {
        "if_name": "eth0",
        "bridge_name": "lan",
        "bridge_id": "brg_0lan",
        "worker_id": "wrk_1",
        "spoof_guard": False,
        "mac": "02:00:00:00:00:01",
    }
    network = Network(NetworkProfile.TRANSIT, interfaces=[entry])
    assert network.bound_to == "wrk_1"
    ordered = order_of(network)
    assert ordered is not None
    [interface] = ordered.interfaces
    assert interface.model_dump() == {
        "if_name": "eth0",
        "bridge_id": "brg_0lan",
        "spoof_guard": False,
        "mac": "02:00:00:00:00:01",
    }
    assert Network(NetworkProfile.REGISTRY).bound_to is None


def test_an_order_of_isolated_is_what_an_older_worker_knows() -> None:
    assert "network" not in spec().model_dump_json(exclude_none=True)
    with pytest.raises(ValidationError, match="is left out"):
        MachineSpec.model_validate({**spec().model_dump(), "network": {"profile": "isolated"}})
