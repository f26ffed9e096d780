"""Names and connections together: what an address may be reached for, and until when."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.host.gateway_machines import Machine, Machines, machines_of
from tests.host.lab import Lab
from tests.waiting import until

REGISTRY = "pypi.registry.test"
OLD, NEW = "203.0.113.201", "203.0.113.202"
TTL_S, GRACE_S = 3, 2


@pytest.fixture
async def machines(lab: Lab, tmp_path: Path) -> AsyncIterator[Machines]:
    async with machines_of(lab, tmp_path, ttl_min_s=1) as made:
        yield made


@pytest.fixture
async def machine(machines: Machines) -> Machine:
    made = machines.make()
    await made.attach(REGISTRY, "*.files.test")
    await asyncio.to_thread(made.redirect)
    return made


def get(connection: http.client.HTTPConnection, host: str = REGISTRY) -> str:
    """Which address of the world has answered."""
    connection.request("GET", "/", headers={"Host": host})
    response = connection.getresponse()
    if response.status != 200:
        raise OSError(f"status {response.status}")
    return str(json.load(response)["local"])


async def reached(machine: Machine, address: str, host: str = REGISTRY) -> str | None:
    """Who answers on a new connection to that address; None if it is closed."""

    def tried() -> str | None:
        connection = http.client.HTTPConnection(address, 80, timeout=10)
        try:
            return get(connection, host)
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    return await asyncio.to_thread(machine.namespace.call, tried)


async def test_an_address_is_open_for_as_long_as_it_was_told(lab: Lab, machine: Machine) -> None:
    lab.names.set(REGISTRY, OLD, ttl_s=TTL_S)
    assert await reached(machine, OLD) is None  # nobody has told it
    assert await machine.addresses(REGISTRY) == [OLD]
    assert await reached(machine, OLD) == OLD
    flow = await asyncio.to_thread(machine.namespace.call, lambda: _opened(OLD))
    try:
        # It changes hands: what answers there now is somebody else's.
        lab.names.set(REGISTRY, NEW, ttl_s=TTL_S)

        async def closed() -> bool:
            return await reached(machine, OLD) is None

        await until(closed, TTL_S + GRACE_S + 5)
        before = len(lab.log.hits(local=OLD))
        assert await reached(machine, OLD) is None
        assert await machine.addresses(REGISTRY) == [NEW]
        assert await reached(machine, NEW) == NEW
        assert await reached(machine, OLD) is None
        assert len(lab.log.hits(local=OLD)) == before
        assert await asyncio.to_thread(get, flow) == OLD  # what was there by then goes on
    finally:
        flow.close()


def _opened(address: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(address, 80, timeout=30)
    assert get(connection) == address
    return connection


async def test_a_permitted_name_at_a_forbidden_address_reaches_nothing(
    lab: Lab, machine: Machine
) -> None:
    for address in ("169.254.169.254", "10.99.0.7", "127.0.0.1"):
        lab.names.set("a.files.test", address, ttl_s=1)

        async def told_nothing() -> bool:
            return not (await machine.ask("a.files.test")).answer

        await until(told_nothing)
        assert await reached(machine, address, "a.files.test") is None
    assert not lab.log.hits(service="http")


async def test_a_wildcard_opens_neither_the_bare_name_nor_two_labels(
    lab: Lab, machine: Machine
) -> None:
    one = lab.site("a.files.test")
    assert await machine.addresses("a.files.test") == [one.v4]
    assert await reached(machine, one.v4, "a.files.test") == one.v4
    for host in ("files.test", "b.a.files.test", "evil.test"):
        site = lab.site(host)
        assert await machine.addresses(host) == []
        assert await reached(machine, site.v4, host) is None
        assert await reached(machine, one.v4, host) is None  # a permitted address, another name
        assert not lab.log.hits(name=host)
