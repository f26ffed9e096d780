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


def test_an_order_of_isolated_is_what_an_older_worker_knows() -> None:
    assert "network" not in spec().model_dump_json(exclude_none=True)
    with pytest.raises(ValidationError, match="is left out"):
        MachineSpec.model_validate({**spec().model_dump(), "network": {"profile": "isolated"}})
