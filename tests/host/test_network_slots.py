"""Slots of routed machines on this host: taken, admitted, given back; and what is left when the daemon is killed."""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import netns, slot, sysctls
from scaibunker.worker.network.naming import Names
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.never import networks as never_networks
from scaibunker.worker.network.port import Owner
from tests.host.networks import stand
from tests.host.networks.daemon import MACHINE
from tests.host.networks.stand import NotingGateway, leftovers, networks, sweep
from tests.waiting import until

pytestmark = pytest.mark.host

ROOT = Path(__file__).resolve().parents[2]
OWNER = Owner("bnk_tested", "ten_test")
OPEN = NetworkOrder(profile=NetworkProfile.UNRESTRICTED)
NAMED = NetworkOrder(profile=NetworkProfile.ALLOWLISTED, allowlist=["a.test"], bandwidth_mbit=10)


@pytest.fixture
def worker_id(claims_dir: Path) -> Iterator[str]:
    yield from _swept(claims_dir)


@pytest.fixture
def other_id(claims_dir: Path) -> Iterator[str]:
    yield from _swept(claims_dir)


def _swept(claims_dir: Path) -> Iterator[str]:
    name = f"wrk_{secrets.token_hex(8)}"
    try:
        yield name
    finally:
        sweep(name, claims_dir)


@pytest.fixture
def claims_dir(tmp_path: Path) -> Path:
    return tmp_path / "claims"


async def test_a_slot_is_taken_admitted_and_given_back(worker_id: str, claims_dir: Path) -> None:
    gateway = NotingGateway()
    ours = networks(worker_id, claims_dir, gateway)
    await ours.start()
    network = await ours.take("bnk_a", None, NAMED)
    assert await ours.take("bnk_a", OWNER, NAMED) is network
    (interface,) = network.guest.interfaces
    assert interface.mtu == 1500
    assert network.guest.resolvers == interface.gateways
    (tap,) = network.open_taps()
    with pytest.raises(WorkerFault, match="TAP"):
        network.open_taps()  # one VMM at a time
    _close(tap)
    _close(*network.open_taps())
    await ours.admit("bnk_a", OWNER, NAMED)
    await ours.admit("bnk_a", OWNER, NAMED)
    bunker_id, policy, sockets = gateway.held["bnk_a"]
    assert (bunker_id, policy.names) == (OWNER.bunker_id, ("a.test",))
    assert (len(sockets.dns_udp), len(sockets.dns_tcp), len(sockets.proxied)) == (2, 2, 2)
    assert sockets.conntrack is not None
    await ours.admit("bnk_a", OWNER, OPEN)
    assert gateway.held["bnk_a"][2].proxied == ()
    await ours.give_back("bnk_a")
    await ours.give_back("bnk_a")
    assert gateway.held == {}
    assert network.egress_bytes() == 0
    await ours.close()
    assert leftovers(worker_id, claims_dir) == []


async def test_what_cannot_be_admitted_is_closed(worker_id: str, claims_dir: Path) -> None:
    gateway = NotingGateway()
    ours = networks(worker_id, claims_dir, gateway)
    await ours.start()
    network = await ours.take("bnk_a", OWNER, OPEN)
    await ours.admit("bnk_a", OWNER, OPEN)

    async def refuses(*_args: object) -> None:
        raise WorkerFault("the gateway is gone")

    gateway.attach = refuses  # type: ignore[method-assign]
    with pytest.raises(WorkerFault, match="gone"):
        await ours.admit("bnk_a", OWNER, OPEN)
    assert "policy drop" in netns.inside_now(network.slot.namespace, _ruleset)
    with pytest.raises(WorkerFault, match="no network"):
        await ours.admit("bnk_other", OWNER, OPEN)
    await ours.give_back("bnk_a")
    await ours.close()
    assert leftovers(worker_id, claims_dir) == []


async def test_a_gateway_that_never_heard_of_it_is_not_asked(
    worker_id: str, claims_dir: Path
) -> None:
    gateway = NotingGateway()
    ours = networks(worker_id, claims_dir, gateway)
    await ours.start()

    async def stands_still(_name: str) -> None:
        raise WorkerFault("the gateway has not answered in time")

    gateway.detach = stands_still  # type: ignore[method-assign]
    network = await ours.take("tpl_a", None, OPEN)
    await ours.give_back("tpl_a")
    assert network.slot.namespace not in netns.names()
    await ours.close()
    assert leftovers(worker_id, claims_dir) == []


async def test_what_a_prepared_machine_could_not_give_back_goes_with_the_daemon(
    worker_id: str, claims_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = networks(worker_id, claims_dir, NotingGateway())
    await ours.start()
    await ours.take("tpl_a", None, OPEN)
    await ours.take("tpl_b", None, OPEN)
    await ours.take("tpl_b", OWNER, OPEN)

    def fails(*_args: object) -> None:
        raise WorkerFault("busy")

    with monkeypatch.context() as broken:
        broken.setattr(slot, "demolish", fails)
        with pytest.raises(WorkerFault, match="busy"):
            await ours.give_back("tpl_a")
    await ours.close()
    assert list(ours.given) == ["tpl_b"]  # it is a bunker's by now
    await ours.give_back("tpl_b")
    await ours.close()
    assert leftovers(worker_id, claims_dir) == []


@pytest.mark.parametrize("what", ["namespaces", "claims"])
async def test_slots_that_somebody_took_away_are_not_given(
    worker_id: str, claims_dir: Path, what: str
) -> None:
    ours = networks(worker_id, claims_dir, NotingGateway())
    await ours.start()
    await ours.reclaim([])
    await until(lambda: ours.prepared == stand.POOL_SIZE)
    if what == "claims":
        for path in claims_dir.glob("[0-9]*"):
            path.unlink()
    else:  # `ip -all netns delete`
        for name in netns.names():
            if name.startswith(Names.of(worker_id).namespaces):
                netns.remove(name)
    network = await ours.take("bnk_a", OWNER, OPEN)
    _close(*network.open_taps())
    await ours.give_back("bnk_a")
    await ours.close()
    assert leftovers(worker_id, claims_dir) == []


async def test_many_are_taken_at_once(worker_id: str, claims_dir: Path) -> None:
    ours = networks(worker_id, claims_dir, NotingGateway())
    await ours.start()
    await ours.reclaim([])
    machines = [f"bnk_{i}" for i in range(12)]
    taken = await asyncio.gather(*(ours.take(m, OWNER, OPEN) for m in machines * 2))
    numbers = {n.slot.number for n in taken}
    assert len(numbers) == len(machines)
    await asyncio.gather(*(ours.admit(m, OWNER, OPEN) for m in machines))
    await asyncio.gather(*(ours.give_back(m) for m in machines * 2))
    await ours.close()
    assert leftovers(worker_id, claims_dir) == []


async def test_two_workers_on_one_host_never_meet(
    worker_id: str, other_id: str, claims_dir: Path
) -> None:
    ours = [networks(name, claims_dir, NotingGateway()) for name in (worker_id, other_id)]
    await asyncio.gather(*(each.start() for each in ours))
    names = [f"bnk_{i}" for i in range(6)]
    taken = await asyncio.gather(*(each.take(name, OWNER, OPEN) for each in ours for name in names))
    addresses = {network.slot.facts.transfer_v4 for network in taken}
    assert len(addresses) == 12
    await ours[0].reclaim([])
    for name in names:
        await ours[0].give_back(name)
    await ours[0].close()
    assert leftovers(worker_id, claims_dir / "none") == []
    for network in taken[6:]:
        assert network.slot.namespace in netns.names()
    for name in names:
        await ours[1].give_back(name)
    await ours[1].close()
    assert leftovers(other_id, claims_dir) == []


async def test_a_new_daemon_takes_over_what_machines_have(worker_id: str, claims_dir: Path) -> None:
    gateway = NotingGateway()  # it outlives the daemon
    old = networks(worker_id, claims_dir, gateway)
    await old.start()
    await old.reclaim([])
    for name in ("bnk_lives", "bnk_died"):
        await old.take(name, OWNER, OPEN)
        await old.admit(name, OWNER, OPEN)
    namespace = (await old.take("bnk_lives", OWNER, OPEN)).slot.namespace
    rules = netns.inside_now(namespace, _ruleset)
    old._claims.close()  # as when the process ends

    new = networks(worker_id, claims_dir, gateway)
    await new.start()
    assert netns.inside_now(namespace, _ruleset) == rules  # it is in force all the time
    await new.reclaim(["bnk_lives"])
    assert (await new.take("bnk_lives", OWNER, OPEN)).slot.namespace == namespace
    await until(lambda: new.prepared == 2)
    assert len([n for n in leftovers(worker_id, claims_dir) if n.startswith("namespace")]) == 3
    assert set(gateway.held) == {"bnk_lives"}
    gateway.calls.clear()
    await new.admit("bnk_lives", OWNER, OPEN)
    assert gateway.calls == [("attach", "bnk_lives")]  # it keeps its connections
    await new.admit("bnk_lives", OWNER, NAMED)
    assert ("detach", "bnk_lives") in gateway.calls
    await new.give_back("bnk_lives")
    await new.close()
    await old._pool.close()
    assert leftovers(worker_id, claims_dir) == []


async def test_nothing_is_left_wherever_the_daemon_is_killed(
    worker_id: str, claims_dir: Path
) -> None:
    whole = _daemon(worker_id, claims_dir, "none")
    assert whole.returncode == 0, whole.stderr
    assert leftovers(worker_id, claims_dir) == []
    steps = whole.stdout.split("\n")[:-1]
    assert len(steps) >= 15
    for number, step in enumerate(steps):
        done = _daemon(worker_id, claims_dir, number)
        assert done.returncode == -9, (step, done.stderr)
        ours = networks(worker_id, claims_dir, NotingGateway(), pool_size=0)
        await ours.start()
        await ours.reclaim([])
        names = Names.of(worker_id)
        assert leftovers(worker_id, claims_dir) == [f"table {names.table}"], step
        await ours.close()
        assert leftovers(worker_id, claims_dir) == [], step


@pytest.mark.parametrize("step", ["assigned", "attached", "admitted", "detached"])
async def test_what_a_machine_has_is_there_wherever_the_daemon_is_killed(
    worker_id: str, claims_dir: Path, step: str
) -> None:
    done = _daemon(worker_id, claims_dir, step)
    assert done.returncode == -9, done.stderr
    ours = networks(worker_id, claims_dir, NotingGateway(), pool_size=0)
    await ours.start()
    await ours.reclaim([MACHINE])
    assert list(ours.given) == [MACHINE]
    network = await ours.take(MACHINE, OWNER, OPEN)
    rules = netns.inside_now(network.slot.namespace, _ruleset)
    assert ("chain outbound" in rules) == (step == "admitted")  # in force, or closed
    await ours.admit(MACHINE, OWNER, OPEN)
    rules = netns.inside_now(network.slot.namespace, _ruleset)
    assert "chain outbound" in rules
    await ours.give_back(MACHINE)
    await ours.close()
    assert leftovers(worker_id, claims_dir) == []


async def test_the_namespace_is_hardened(worker_id: str, claims_dir: Path) -> None:
    ours = networks(worker_id, claims_dir, NotingGateway(), pool_size=0)
    await ours.start()
    network = await ours.take("bnk_a", OWNER, OPEN)
    facts, slot = network.slot.facts, network.slot

    def inside() -> dict[str, str | None]:
        wanted = {f"ipv4/conf/{i}/rp_filter" for i in (facts.tap, facts.uplink)}
        wanted |= {f"ipv6/conf/{i}/accept_ra" for i in (facts.tap, facts.uplink)}
        return {name: sysctls.read(name) for name in wanted | {"netfilter/nf_conntrack_acct"}}

    read = netns.inside_now(slot.namespace, inside)
    assert all(v == "1" for n, v in read.items() if "accept_ra" not in n), read
    assert all(v == "0" for n, v in read.items() if "accept_ra" in n), read
    assert sysctls.read(f"ipv4/conf/{slot.link}/rp_filter") == "1"
    known = subprocess.run(
        ["ip", "neigh", "show", "dev", slot.link], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len([line for line in known if line.strip().endswith("PERMANENT")]) == 2
    await ours.give_back("bnk_a")
    await ours.close()


def _ruleset() -> str:
    done = subprocess.run(
        ["nft", "-s", "list", "ruleset"], capture_output=True, text=True, check=True
    )
    return done.stdout


def _daemon(worker_id: str, claims_dir: Path, step: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.host.networks.daemon", worker_id, str(claims_dir), str(step)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )


def _close(*files: int) -> None:
    for file in files:
        os.close(file)


@pytest.mark.parametrize("order", [OPEN, NAMED], ids=["open", "named"])
async def test_a_slot_is_opened_by_additions_to_the_same_effect(
    worker_id: str, claims_dir: Path, order: NetworkOrder
) -> None:
    ours = networks(worker_id, claims_dir, NotingGateway(), pool_size=0)
    await ours.start()
    namespace = (await ours.take("bnk_a", OWNER, order)).slot.namespace
    await ours.admit("bnk_a", OWNER, order)
    added = _chains(netns.inside_now(namespace, _ruleset))
    await ours.admit("bnk_a", OWNER, order)
    replaced = _chains(netns.inside_now(namespace, _ruleset))
    extra = {name: lines[1:] for name, lines in added.items() if name not in replaced}
    assert extra == {
        "inet scaibunker prerouting": ["accept"],
        "inet scaibunker output": ["accept"],
        "arp scaibunker output": ["accept"],
    }
    assert {name: lines for name, lines in added.items() if name not in extra} == replaced
    await ours.give_back("bnk_a")
    await ours.close()


async def test_what_has_become_unreachable_counts_for_slots_of_before(
    worker_id: str, claims_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = networks(worker_id, claims_dir, NotingGateway(), pool_size=1)
    await ours.start()
    await ours.reclaim([])
    await until(lambda: ours.prepared == 1)
    monkeypatch.setattr(stand, "NEVER", Never(never_networks("203.0.113.9/32")))
    await ours.renew()
    network = await ours.take("bnk_a", OWNER, OPEN)
    await ours.admit("bnk_a", OWNER, OPEN)
    assert "203.0.113.10" in netns.inside_now(network.slot.namespace, _ruleset)  # a range begins
    await ours.give_back("bnk_a")
    await ours.close()


def _chains(ruleset: str) -> dict[str, list[str]]:
    """Of each chain, set and counter: its lines."""
    found: dict[str, list[str]] = {}
    table, name = "", ""
    for line in ruleset.splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            table = " ".join(words[1:3])
        elif words[:1] in (["chain"], ["set"], ["counter"]) and line.endswith("{"):
            name = f"{table} {words[1]}"
            found[name] = []
        elif name and words and words != ["}"]:
            found[name].append(line.strip())
    return found
