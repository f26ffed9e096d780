"""What lies too near: gathered from the host, from names that move, and from peers that come and go."""

import ipaddress
from collections.abc import Iterable

import pytest

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.never import Address, Network, networks
from scaibunker.worker.network.policy import Passage
from scaibunker.worker.network.vicinity import KEEP_S, MAX_HOSTS, Vicinity

SLOTS = networks("198.19.0.0/16", "fd5c::/64")


class World:
    """Names, addresses of the host and the time, as a test sets them."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {"controller.test": ["203.0.113.30"]}
        self.own = list(networks("192.0.2.2/32", "127.0.0.1/32", "198.19.0.0/32", "fe80::1/128"))
        self.time = 0.0
        self.asked: list[str] = []

    async def look(self) -> Iterable[Network]:
        return self.own

    async def resolve(self, host: str) -> Iterable[Address]:
        self.asked.append(host)
        if host[0] in "0123456789" or ":" in host:
            return [ipaddress.ip_address(host)]
        if host not in self.names:
            raise OSError("no such name")
        return [ipaddress.ip_address(a) for a in self.names[host]]

    def vicinity(self, *urls: str | None) -> Vicinity:
        return Vicinity(
            SLOTS, urls, networks("10.1.0.0/16"),
            look=self.look, resolve=self.resolve, now=lambda: self.time,
        )  # fmt: skip


@pytest.fixture
def world() -> World:
    return World()


async def test_it_is_slots_own_addresses_and_the_controllers(world: World) -> None:
    never = await world.vicinity("https://controller.test:8443/base", None).gather()
    assert never.vicinity == (*SLOTS, *networks("192.0.2.2/32", "203.0.113.30/32"))
    assert never.permitted == networks("10.1.0.0/16")
    assert never.forbids(ipaddress.ip_address("203.0.113.30"), Passage.OPEN)
    assert not never.forbids(ipaddress.ip_address("203.0.113.31"), Passage.OPEN)


async def test_an_address_that_a_name_has_left_counts_for_a_while(world: World) -> None:
    vicinity = world.vicinity("http://controller.test")
    await vicinity.gather()
    world.names["controller.test"] = ["203.0.113.31"]
    world.time = KEEP_S - 1
    both = await vicinity.gather()
    assert set(networks("203.0.113.30/32", "203.0.113.31/32")) <= set(both.vicinity)
    world.time = KEEP_S + 1
    later = await vicinity.gather()
    assert networks("203.0.113.30/32")[0] not in later.vicinity
    assert networks("203.0.113.31/32")[0] in later.vicinity


async def test_a_name_that_is_lost_stands_for_what_it_last_stood_for(world: World) -> None:
    vicinity = world.vicinity("http://controller.test")
    before = await vicinity.gather()
    del world.names["controller.test"]
    world.time = 100 * KEEP_S
    assert await vicinity.gather() == before


async def test_peers_come_and_go(world: World) -> None:
    vicinity = world.vicinity()
    assert vicinity.set_peers(["https://[2001:db8::7]:9440", "203.0.113.20", "peer.test"])
    world.names["peer.test"] = ["203.0.113.21"]
    near = set((await vicinity.gather()).vicinity)
    assert set(networks("2001:db8::7/128", "203.0.113.20/32", "203.0.113.21/32")) <= near
    assert not vicinity.set_peers(["https://[2001:db8::7]:9440", "203.0.113.20", "peer.test"])
    assert vicinity.set_peers(["peer.test"])
    near = set((await vicinity.gather()).vicinity)
    assert networks("203.0.113.21/32")[0] in near
    assert networks("203.0.113.20/32")[0] not in near


async def test_it_says_what_this_host_answers_for_and_is_known_by(world: World) -> None:
    world.names["worker.test"] = ["203.0.113.40"]
    vicinity = Vicinity(
        SLOTS, ["http://controller.test"], (), advertised="https://worker.test:9440",
        look=world.look, resolve=world.resolve,
    )  # fmt: skip
    assert vicinity.own == ()
    never = await vicinity.gather()
    assert set(vicinity.own) == set(networks("192.0.2.2/32", "203.0.113.40/32"))
    assert set(vicinity.own) <= set(never.vicinity)


async def test_addresses_of_peers_are_closed_in_as_few_ranges_as_possible(world: World) -> None:
    vicinity = world.vicinity()
    told = ["203.0.113.4", "203.0.113.5", "2001:db8::9", "198.51.100.0/24"]
    assert vicinity.set_peers(told)
    assert not vicinity.set_peers(reversed(told))
    near = (await vicinity.gather()).vicinity
    assert set(networks("203.0.113.4/31", "2001:db8::9/128", "198.51.100.0/24")) <= set(near)
    assert not world.asked
    assert vicinity.set_peers(told[:1])
    near = (await vicinity.gather()).vicinity
    assert networks("203.0.113.4/32")[0] in near
    assert networks("198.51.100.0/24")[0] not in near


async def test_more_addresses_than_names_can_be_closed(world: World) -> None:
    vicinity = world.vicinity()
    vicinity.set_peers(f"10.{n >> 8}.{n & 255}.{n % 200 & ~1}" for n in range(3 * MAX_HOSTS))
    assert len((await vicinity.gather()).vicinity) >= 3 * MAX_HOSTS


async def test_peers_are_bounded(world: World) -> None:
    vicinity = world.vicinity()
    vicinity.set_peers([f"p{n}.test" for n in range(MAX_HOSTS + 10)])
    await vicinity.gather()
    assert len(world.asked) == MAX_HOSTS


async def test_without_the_hosts_own_addresses_there_is_no_answer() -> None:
    async def blind() -> Iterable[Network]:
        raise WorkerFault("cannot read")

    with pytest.raises(WorkerFault):
        await Vicinity(SLOTS, look=blind).gather()
