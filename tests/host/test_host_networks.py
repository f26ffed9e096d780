"""This host's networks with their gateway: a machine's resolver serves on, whichever process dies."""

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest
from pydantic import SecretStr

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import features, netns, nft
from scaibunker.worker.network.assembly import open_networks
from scaibunker.worker.network.given import SlotNetwork
from scaibunker.worker.network.naming import Names
from scaibunker.worker.network.networks import HostNetworks
from scaibunker.worker.network.peers import Peers
from scaibunker.worker.network.port import Owner
from scaibunker.worker.network.registries.current import Registries
from scaibunker.worker.network.settings import NetworkSettings
from scaibunker.worker.settings import WorkerSettings
from tests.host.lab.kernel_guest import kernel_guest
from tests.host.lab.namespaces import Namespace
from tests.host.networks.stand import leftovers, sweep
from tests.waiting import until

pytestmark = pytest.mark.host

OWNER = Owner("bnk_tested", "ten_test")
ORDER = NetworkOrder(profile=NetworkProfile.ALLOWLISTED, allowlist=["a.test"])
MACHINE = "bnk_tested"


class Daemon:
    """What a worker daemon has of networks. `die` leaves everything as SIGKILL would."""

    def __init__(self, folder: Path) -> None:
        self.worker_id = f"wrk_{secrets.token_hex(8)}"
        self.settings = WorkerSettings(
            token=SecretStr("t" * 20),
            data_dir=folder / "data",
            runtime_dir=Path("/run/scaibunker-tests") / secrets.token_hex(4),
            network=NetworkSettings(
                claims_dir=folder / "claims",
                transfer_v4=IPv4Network("10.236.0.0/20"),
                transfer_v6=IPv6Network("fd5c:a1ba:5e77::/64"),
                pool_size=1,
            ),
        )
        self._networks: HostNetworks | None = None

    @property
    def networks(self) -> HostNetworks:
        assert self._networks is not None
        return self._networks

    @property
    def gateway_pid(self) -> int | None:
        return self.networks._gateway.pid

    async def start(self) -> None:
        made = await open_networks(self.settings, self.worker_id, Registries(), Peers(), ())
        assert isinstance(made, HostNetworks)
        self._networks = made

    async def die(self) -> None:
        networks = self.networks
        await networks.lookout.close()
        await networks._gateway.close()
        filling = networks._routed._pool._filling
        if filling is not None:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)
        networks._routed._claims.close()
        self._networks = None

    async def close(self) -> None:
        if self._networks is None:
            await self.start()
        await self.networks.give_back(MACHINE)
        await self.networks.close()


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(tmp_path)
    daemon.settings.data_dir.mkdir()
    try:
        await daemon.start()
        yield daemon
        await daemon.close()
        assert leftovers(daemon.worker_id, daemon.settings.network.claims_dir) == []
        assert list(daemon.settings.runtime_dir.glob("*")) == []
    finally:
        sweep(daemon.worker_id, daemon.settings.network.claims_dir)
        with contextlib.suppress(OSError):
            daemon.settings.runtime_dir.rmdir()


@contextlib.contextmanager
def plugged(network: object) -> Iterator[tuple[Namespace, SlotNetwork]]:
    assert isinstance(network, SlotNetwork)
    (tap,) = network.open_taps()
    with kernel_guest(tap, network.slot.facts) as guest:
        yield guest, network


async def asked(guest: Namespace, server: str, *, tcp: bool = False) -> dns.rcode.Rcode | None:
    """What the machine's resolver says to a name that is not permitted; None if it says nothing."""
    query = dns.message.make_query("evil.test", "A")
    ask = dns.query.tcp if tcp else dns.query.udp

    def work() -> dns.rcode.Rcode | None:
        try:
            return dns.rcode.Rcode(ask(query, server, timeout=2).rcode())
        except (OSError, dns.exception.DNSException, EOFError):
            return None

    return await asyncio.to_thread(guest.call, work)


async def test_the_resolver_serves_whichever_process_dies(daemon: Daemon) -> None:
    await daemon.networks.reclaim([])
    network = await daemon.networks.take(MACHINE, None, ORDER)
    with plugged(network) as (guest, given):
        servers = given.guest.resolvers
        assert [await asked(guest, server) for server in servers] == [None, None]  # closed
        await daemon.networks.admit(MACHINE, OWNER, ORDER)
        for server in servers:
            for tcp in (False, True):

                async def reached(server: str = server, tcp: bool = tcp) -> bool:
                    return await asked(guest, server, tcp=tcp) == dns.rcode.NXDOMAIN

                await until(reached, 30)  # the guest's kernel has just learnt that nobody is there
        assert given.egress_bytes() > 0

        pid = daemon.gateway_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: daemon.gateway_pid not in (None, pid), 30)

        async def served() -> bool:
            return await asked(guest, servers[0]) == dns.rcode.NXDOMAIN

        await until(served, 30)

        pid = daemon.gateway_pid
        await daemon.die()
        await until(served, 30)  # there is no daemon
        await daemon.start()
        await daemon.networks.reclaim([MACHINE])
        await daemon.networks.take(MACHINE, OWNER, ORDER)
        await daemon.networks.admit(MACHINE, OWNER, ORDER)
        assert daemon.gateway_pid == pid
        await until(served, 30)

        await daemon.networks.give_back(MACHINE)
        assert await asked(guest, servers[0]) is None
        assert given.slot.namespace not in netns.names()


async def test_what_was_nobodys_is_gone_after_a_restart(daemon: Daemon) -> None:
    await daemon.networks.reclaim([])
    await daemon.networks.take(MACHINE, OWNER, ORDER)
    await daemon.networks.admit(MACHINE, OWNER, ORDER)
    await daemon.die()
    await daemon.start()
    await daemon.networks.reclaim([])
    assert await daemon.networks._gateway.attached() == frozenset()
    await until(lambda: daemon.networks._routed.prepared == 1)
    left = leftovers(daemon.worker_id, daemon.settings.network.claims_dir)
    assert len([what for what in left if what.startswith("namespace")]) == 1
    assert nft.tables()


async def test_rules_that_others_have_flushed_come_back(daemon: Daemon) -> None:
    await daemon.networks.reclaim([])
    table = ("inet", Names.of(daemon.worker_id).table)
    nft.delete_table(*table)
    daemon.networks.lookout.hint()
    await until(lambda: table in nft.tables())


@pytest.mark.parametrize("why", ["switched off", "lacks what they need"])
async def test_what_machines_had_goes_with_them_when_there_are_none_to_give(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    await daemon.networks.reclaim([])
    await daemon.networks.take(MACHINE, OWNER, ORDER)
    await daemon.networks.admit(MACHINE, OWNER, ORDER)
    await until(lambda: daemon.networks._routed.prepared == 1)
    await daemon.die()
    with monkeypatch.context() as changed:
        if why == "switched off":
            changed.setattr(daemon.settings.network, "enabled", False)
        else:
            changed.setattr(features, "missing", lambda: "ifb (tested)")
        left = await open_networks(daemon.settings, daemon.worker_id, Registries(), Peers(), ())
        assert left.profiles == ("isolated",)
        await left.reclaim([MACHINE])
        with pytest.raises(WorkerFault):
            await left.take(MACHINE, OWNER, ORDER)
        there = leftovers(daemon.worker_id, daemon.settings.network.claims_dir)
        assert len([what for what in there if what.startswith("namespace")]) == 1
        await left.give_back(MACHINE)
        await left.close()
    assert leftovers(daemon.worker_id, daemon.settings.network.claims_dir) == []
    assert [path.name for path in daemon.settings.network.claims_dir.iterdir()] == ["lock"]
    assert list(daemon.settings.runtime_dir.glob("*")) == []
