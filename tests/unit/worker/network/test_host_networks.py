"""This host's networks together: what they tell of the vicinity, and follow of it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import cast

import pytest

from scaibunker.wire.worker.vicinity import VicinityChange, digest_of
from scaibunker.worker.gateway.client import GatewayClient
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.networks import HostNetworks
from scaibunker.worker.network.never import Network, Never, networks
from scaibunker.worker.network.peers import Peers
from scaibunker.worker.network.routed import RoutedNetworks
from scaibunker.worker.network.vicinity import Vicinity
from tests.waiting import until

OWN = networks("203.0.113.1/32", "127.0.0.1/32", "198.19.0.0/32")


class Routed:
    """Networks of nobody. Counts how often what no machine may reach was put into force."""

    profiles = ("registry",)
    given: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.renewed = 0

    async def start(self) -> None:
        pass

    async def renew(self) -> None:
        self.renewed += 1

    async def uphold(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Gateway:
    """Remembers what it was told last."""

    def __init__(self) -> None:
        self.told: Surroundings | None = None

    def start(self) -> None:
        pass

    async def surroundings(self, surroundings: Surroundings) -> None:
        self.told = surroundings

    async def stop(self) -> None:
        pass


class Rig:
    def __init__(self) -> None:
        async def look() -> Iterable[Network]:
            return OWN

        self.routed, self.gateway, self.peers = Routed(), Gateway(), Peers()
        self.networks = HostNetworks(
            cast("RoutedNetworks", self.routed),
            (),
            cast("GatewayClient", self.gateway),
            Vicinity(networks("198.19.0.0/16"), look=look),
            self.peers,
            lambda never: Surroundings(never, (("192.0.2.53", 53),)),
        )

    def near(self) -> set[Network]:
        """What is closed, as the gateway has it."""
        never: Never = self.gateway.told.never if self.gateway.told else Never()
        return set(never.vicinity)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    await made.networks.close()


def told(*addresses: str) -> VicinityChange:
    return VicinityChange(digest=digest_of(addresses), added=list(addresses))


async def test_own_addresses_are_there_to_be_reported(rig: Rig) -> None:
    await rig.networks.start()
    assert rig.peers.reported() == ["203.0.113.1"]


async def test_what_was_kept_is_closed_from_the_first_moment(rig: Rig) -> None:
    rig.peers.take(told("203.0.113.9", "203.0.113.1"))
    await rig.networks.start()
    assert networks("203.0.113.9/32")[0] in rig.networks.lookout.never.vicinity
    await until(lambda: networks("203.0.113.9/32")[0] in rig.near())


async def test_what_the_controller_tells_is_put_into_force_at_once(rig: Rig) -> None:
    await rig.networks.start()
    assert rig.routed.renewed == 0
    async with asyncio.timeout(rig.networks.lookout._every_s):  # sooner than the timer would
        rig.peers.take(told("203.0.113.9", "2001:db8::/48"))
        await until(lambda: rig.routed.renewed == 1)
        both = set(networks("203.0.113.9/32", "2001:db8::/48"))
        await until(lambda: both <= rig.near())  # the gateway hears of it after the rules
        rig.peers.take(told("203.0.113.10"))
        await until(lambda: rig.routed.renewed == 2)
    assert networks("203.0.113.9/32")[0] not in rig.near()
    assert networks("203.0.113.10/32")[0] in rig.near()
