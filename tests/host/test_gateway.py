"""The gateway's process: started, confined, adopted, replaced; and what machines notice of it."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from random import Random

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.gateway import client as module
from scaibunker.worker.gateway import process
from scaibunker.worker.gateway.attachment import Sockets
from scaibunker.worker.gateway.client import GatewayClient
from scaibunker.worker.network.policy import CLOSED
from scaibunker.worker.vmm.process import WatchedProcess, identify, start_ticks
from tests.host.gateway_daemon import NAMES, POLICY, UID, around, home, open_at
from tests.waiting import until

PERMITTED, OTHER = NAMES[0], "evil.test"


class Machine:
    """Whose sockets are opened again at the port that they had first."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.opened = 0

    async def open(self) -> Sockets:
        sockets = open_at(self.port)
        self.port = sockets.dns_tcp[0].getsockname()[1]
        self.opened += 1
        return sockets

    async def rcode(self, name: str = OTHER, *, tcp: bool = False) -> dns.rcode.Rcode:
        query = dns.message.make_query(name, "A")
        ask = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return (await ask(query, "127.0.0.1", port=self.port, timeout=15)).rcode()

    async def served(self) -> bool:
        with contextlib.suppress(Exception):
            await dns.asyncquery.udp(
                dns.message.make_query(OTHER, "A"), "127.0.0.1", port=self.port, timeout=0.2
            )
            return True
        return False


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[GatewayClient]:
    made = GatewayClient(home(tmp_path))
    made.start()
    try:
        yield made
    finally:
        await made.stop()
        assert not (tmp_path / "run" / "gateway.sock").exists()


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


async def attached(client: GatewayClient, machine: Machine) -> int:
    await client.surroundings(around())
    await client.attach("m", "bunker", POLICY, machine.open)
    assert client.pid is not None
    return client.pid


async def test_serves_machines_by_their_policies(client: GatewayClient) -> None:
    machine = Machine()
    await attached(client, machine)
    for tcp in (False, True):
        assert await machine.rcode(OTHER, tcp=tcp) == dns.rcode.NXDOMAIN
        assert await machine.rcode(PERMITTED, tcp=tcp) == dns.rcode.SERVFAIL  # nobody to ask
    assert not client.spools.joinpath("bunker").exists()
    await client.change("m", "bunker", replace(POLICY, audited=True))
    assert client.spools.joinpath("bunker").is_dir()
    await client.change("m", "bunker", CLOSED)
    assert await machine.rcode() == dns.rcode.REFUSED
    assert await client.attached() == {"m"}
    await client.detach("m")
    assert await client.attached() == frozenset()
    assert not await machine.served()
    open_at(machine.port).close()  # nobody holds it any more


async def test_has_given_up_what_it_does_not_need(client: GatewayClient, tmp_path: Path) -> None:
    pid = await attached(client, Machine())
    facts = status(pid)
    assert set(facts["Uid"].split()) == set(facts["Gid"].split()) == {str(UID)}
    assert facts["Groups"].strip() == ""
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(facts[kind], 16) == 0, kind
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"
    root = Path(f"/proc/{pid}/root").readlink()
    assert root == tmp_path / "data" / "gateway"
    assert [path.name for path in root.iterdir()] == ["spool"]
    assert (root.stat().st_uid, root.stat().st_mode & 0o777) == (0, 0o710)
    assert os.getsid(pid) == pid
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "Max core file size        0 " in limits
    control = tmp_path / "run" / "gateway.sock"
    assert (control.stat().st_uid, control.stat().st_mode & 0o777) == (0, 0o600)
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert {line.partition(b"=")[0] for line in environment.split(b"\0") if line} == {
        b"PATH",
        b"LANG",
    }


async def test_finds_no_way_out(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    os.chown(tmp_path / "spool", UID, UID)
    tmp_path.chmod(0o711)
    probe = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.host.confined_probe", str(tmp_path), str(UID),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(probe.communicate(), 60)
    done = json.loads(output)
    able = {name for name, succeeded in done.items() if succeeded}
    assert able == {"write into the spool", "thread", "TCP socket", "UDP socket"}
    assert len(done) > 20


async def test_goes_on_without_its_daemon_and_is_found_by_the_next(tmp_path: Path) -> None:
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.host.gateway_daemon", str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    client = GatewayClient(home(tmp_path))
    try:
        assert daemon.stdout is not None
        line = await asyncio.wait_for(daemon.stdout.readline(), 60)
        machine = Machine(int(line))
        daemon.kill()
        await daemon.wait()
        assert await machine.rcode() == dns.rcode.NXDOMAIN
        client.start()
        assert await client.attached() == {"m"}
        assert client.pid is not None
        started = start_ticks(client.pid)
        await client.surroundings(around())
        await client.attach("m", "bunker", CLOSED, machine.open)
        assert machine.opened == 0  # it keeps the sockets that it has
        assert await machine.rcode() == dns.rcode.REFUSED
        assert start_ticks(client.pid) == started
    finally:
        if daemon.returncode is None:
            daemon.kill()
            await daemon.wait()
        await client.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_one_that_ends_is_started_again_with_all_it_had(
    client: GatewayClient, number: signal.Signals
) -> None:
    machine = Machine()
    first = await attached(client, machine)
    await client.change("m", "bunker", CLOSED)
    os.kill(first, number)
    await until(lambda: client.pid not in (None, first))
    await until(machine.served)
    assert await machine.rcode() == dns.rcode.REFUSED
    assert machine.opened == 2
    assert client.pid is not None
    assert status(client.pid)["Uid"].split()[0] == str(UID)


async def test_calls_made_while_there_is_none_are_done_by_the_next(client: GatewayClient) -> None:
    machine, other = Machine(), Machine()
    first = await attached(client, machine)
    os.kill(first, signal.SIGKILL)
    await asyncio.gather(
        client.change("m", "bunker", CLOSED),
        client.attach("other", "", POLICY, other.open),
    )
    assert await client.attached() == {"m", "other"}
    assert await machine.rcode() == dns.rcode.REFUSED
    assert await other.rcode() == dns.rcode.NXDOMAIN


async def test_a_machine_that_cannot_be_opened_holds_up_no_other(client: GatewayClient) -> None:
    machine = Machine()
    await client.surroundings(around())

    async def broken() -> Sockets:
        raise WorkerFault("the namespace is gone")

    with pytest.raises(WorkerFault, match="namespace is gone"):
        await client.attach("broken", "", POLICY, broken)
    await client.attach("m", "bunker", POLICY, machine.open)
    assert await machine.rcode() == dns.rcode.NXDOMAIN
    assert await client.attached() == {"m"}
    await client.detach("broken")


async def test_one_of_another_release_is_replaced(client: GatewayClient, tmp_path: Path) -> None:
    machine = Machine()
    first = await attached(client, machine)
    await client.close()
    later = GatewayClient(home(tmp_path))
    later._version = "99.0.0"
    later.start()
    second = await attached(later, machine)
    assert second != first
    assert start_ticks(first) is None
    assert machine.opened == 2
    assert await machine.rcode() == dns.rcode.NXDOMAIN
    await later.close()


async def test_one_that_holds_the_place_and_does_not_answer_is_ended(tmp_path: Path) -> None:
    place = home(tmp_path)
    place.run_dir.mkdir(parents=True)
    sleeper = await asyncio.create_subprocess_exec("sleep", "600")
    with place.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        identity = identify(sleeper.pid)
        assert identity is not None
        json.dump(
            {"pid": identity.pid, "start_ticks": identity.start_ticks, "boot_id": identity.boot_id},
            lock,
        )
        lock.flush()
        held = WatchedProcess.hold(identity)
        assert held is not None
        held.on_end(lambda: fcntl.flock(lock, fcntl.LOCK_UN))
        client = GatewayClient(place)
        client.start()
        try:
            assert await client.attached() == frozenset()
            assert not held.alive
        finally:
            await client.stop()


async def test_two_daemons_that_start_one_at_once_have_one(tmp_path: Path) -> None:
    clients = [GatewayClient(home(tmp_path)) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        await asyncio.gather(*(client.attached() for client in clients))
        assert clients[0].pid == clients[1].pid
    finally:
        for client in clients:
            await client.close()
        await clients[0].stop()


async def test_one_that_stands_still_is_replaced(
    client: GatewayClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH_S", 0.1)
    monkeypatch.setattr(module, "STUCK_S", 2.0)
    machine = Machine()
    first = await attached(client, machine)
    os.kill(first, signal.SIGSTOP)
    await until(lambda: client.pid not in (None, first))
    await until(machine.served)
    assert start_ticks(first) is None


async def test_a_machine_may_go_while_no_gateway_can_be_started(
    client: GatewayClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    first = await attached(client, machine)
    monkeypatch.setattr(process, "MODULE", "scaibunker.worker.gateway.none")
    os.kill(first, signal.SIGKILL)
    await until(lambda: client.pid is None)
    detaching = asyncio.create_task(client.detach("m"))
    await until(detaching.done)
    await detaching
    monkeypatch.undo()
    assert await client.attached() == frozenset()
    assert machine.opened == 1


async def test_whatever_is_asked_while_gateways_die_is_done_in_the_end(
    client: GatewayClient,
) -> None:
    machines = {f"m{number}": Machine() for number in range(6)}
    await client.surroundings(around())
    random = Random(7)
    killed = set()

    async def use(name: str, machine: Machine) -> None:
        """A machine that comes, is changed, goes, and comes again: each call may meet a gateway's death."""
        for _ in range(4):
            await client.attach(name, "", CLOSED, machine.open)
            await client.change(name, "bunker", POLICY)
            await asyncio.sleep(random.random() * 0.2)
            await client.detach(name)
        await client.attach(name, "bunker", POLICY, machine.open)

    async def kill() -> None:
        while len(killed) < 5:
            await asyncio.sleep(random.random() * 0.5)
            pid = client.pid
            if pid is not None and pid not in killed:
                killed.add(pid)
                os.kill(pid, random.choice([signal.SIGKILL, signal.SIGTERM]))

    await asyncio.gather(kill(), *(use(name, machine) for name, machine in machines.items()))

    async def all_attached() -> bool:
        return await client.attached() == machines.keys()

    await until(all_attached)  # the last one may have been killed just now
    for machine in machines.values():
        await until(machine.served)
        assert await machine.rcode() == dns.rcode.NXDOMAIN
    assert client.pid not in killed
    for pid in killed:
        assert start_ticks(pid) is None
