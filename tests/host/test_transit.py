"""Real machines on bridges: a client, a firewall that nobody sees, a server behind it."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scaibunker.artifacts.manifest import Artifacts
from scaibunker.wire.guest.frames import Decoder, Kind
from scaibunker.worker.network import netns
from scaibunker.worker.network.bridges.names import namespace_prefix
from scaibunker.worker.network.naming import Names
from tests.host.bridged import programs
from tests.host.bridged.frames import note
from tests.host.worker_process import WorkerProcess
from tests.waiting import until

LAN, DMZ = "brg_0lan", "brg_0dmz"
CLIENT, SERVER = "10.7.0.1", "10.7.0.2"
CLIENT_MAC, SERVER_MAC = "02:00:00:00:07:01", "02:00:00:00:07:02"
IMAGE = "python-3.11"


@pytest.fixture
async def worker(tmp_path: Path, artifacts: Artifacts) -> AsyncIterator[WorkerProcess]:
    """A daemon with networks and two bridges."""
    claims = tmp_path / "claims"
    process = WorkerProcess(tmp_path, artifacts, NETWORK_CLAIMS_DIR=str(claims))
    await process.start()
    try:
        for bridge_id in (LAN, DMZ):
            await make_bridge(process, bridge_id)
        yield process
    finally:
        await process.take_down()
    assert process.leftovers() == []
    assert namespaces(process) == []


def namespaces(worker: WorkerProcess) -> list[str]:
    names = Names.of((worker.data_dir / "worker-id").read_text())
    return [name for name in netns.names() if name.startswith(namespace_prefix(names))]


async def make_bridge(worker: WorkerProcess, bridge_id: str, tenant: str = "ten_test") -> None:
    spec = {"bridge_id": bridge_id, "tenant_id": tenant, "name": bridge_id.removeprefix("brg_")}
    await worker.call("PUT", f"/v1/bridges/{bridge_id}", json=spec)


def interface(if_name: str, bridge_id: str, mac: str, *, guard: bool = True) -> dict[str, Any]:
    return {"if_name": if_name, "bridge_id": bridge_id, "mac": mac, "spoof_guard": guard}


async def machine(worker: WorkerProcess, *interfaces: dict[str, Any], **more: Any) -> str:
    network = {"profile": "transit", "interfaces": list(interfaces), **more}
    return await worker.create(IMAGE, network=network)


async def python(worker: WorkerProcess, machine: str, program: str, *arguments: str) -> str:
    """What a program says, run by root to its end."""
    command = " ".join(["python3", "-", *arguments])
    code, out = await worker.run(machine, command, program.encode(), user="root")
    assert code == 0, out
    return out.decode()


async def begin(worker: WorkerProcess, machine: str, program: str, *arguments: str) -> str:
    """Start a program that stays, as root; returns when it has said that it is ready."""
    await python(worker, machine, f"open('/root/program.py', 'w').write({program!r})")
    exec_id = f"exe_{secrets.token_hex(8)}"
    shell = " ".join(["exec python3 /root/program.py", *arguments])
    start = {"shell": shell, "timeout_s": 600, "stdin": "none", "user": "root"}
    path = f"/v1/machines/{machine}/execs/{exec_id}?mode=spool"
    await worker.call("POST", path, data=json.dumps(start).encode() + b"\n")

    async def said() -> bool:
        status = await worker.call("GET", f"/v1/machines/{machine}/execs/{exec_id}")
        assert status["running"], status
        return bool(status["stdout_bytes"])

    await until(said, 60)
    return exec_id


async def output(worker: WorkerProcess, machine: str, exec_id: str) -> list[str]:
    """The lines of a spooled command, once it has ended."""
    path = f"/v1/machines/{machine}/execs/{exec_id}/frames"
    async with await worker.request("GET", path) as response:
        frames = list(Decoder().feed(await response.read()))
    return b"".join(f.payload for f in frames if f.kind is Kind.STDOUT).decode().splitlines()


async def test_a_chain_over_two_bridges(worker: WorkerProcess) -> None:
    client, firewall, server = await asyncio.gather(
        machine(worker, interface("eth0", LAN, CLIENT_MAC)),
        machine(
            worker,
            interface("eth0", LAN, "02:00:00:00:07:0a", guard=False),
            interface("eth1", DMZ, "02:00:00:00:07:0b", guard=False),
        ),
        machine(worker, interface("eth0", DMZ, SERVER_MAC)),
    )
    _, seen = await worker.run(
        firewall, "cat /sys/class/net/eth0/address /sys/class/net/eth1/address"
    )
    assert seen.decode().split() == ["02:00:00:00:07:0a", "02:00:00:00:07:0b"]
    await python(worker, client, programs.ADDRESS, "eth0", CLIENT)
    await python(worker, server, programs.ADDRESS, "eth0", SERVER)
    for name in ("eth0", "eth1"):
        await python(worker, firewall, programs.ADDRESS, name, "none")
    await begin(worker, server, programs.SERVER, "8000", "8001", "8002")

    async def answer(port: str) -> str:
        return await python(worker, client, programs.ASK, "tcp", SERVER, port, "60")

    async def silence(kind: str, port: str) -> str:
        return await python(worker, client, programs.ASK, kind, SERVER, port, "4")

    # Nobody passes anything on: there is no way.
    assert "nothing" in await silence("tcp", "8000")
    running = await begin(worker, firewall, programs.FIREWALL, "eth0", "eth1", "8000")
    assert await answer("8000") == f"8000 for {CLIENT}\n"
    assert "nothing" in await silence("tcp", "8001")
    assert "nothing" in await silence("udp", "8002")

    # The daemon's death stops nothing.
    await worker.kill()
    await worker.start()
    assert await answer("8000") == f"8000 for {CLIENT}\n"
    assert "nothing" in await silence("tcp", "8001")
    statuses = (await worker.call("GET", "/v1/machines"))["machines"]
    assert all(status["egress_bytes"] > 0 for status in statuses)
    await worker.call(
        "POST", f"/v1/machines/{firewall}/execs/{running}/signal", json={"signal": "SIGKILL"}
    )

    # A bridge that is in use stays; another tenant's machine is not plugged in, whatever is ordered.
    async with await worker.request("DELETE", f"/v1/bridges/{LAN}") as refused:
        assert (refused.status, (await refused.json())["code"]) == (409, "BRIDGE_IN_USE")
    network = {"profile": "transit", "interfaces": [interface("eth0", LAN, "02:00:00:00:07:0c")]}
    spec = worker.spec(IMAGE, network=network, tenant_id="ten_other")
    await worker.call("PUT", f"/v1/machines/{spec.bunker_id}", data=spec.model_dump_json())
    status = await worker.until(spec.bunker_id, "failed", "running")
    assert status["state"] == "failed"
    assert "of the machine's tenant" in status["reason"]


async def test_what_a_guest_with_a_guard_forges_arrives_nowhere(worker: WorkerProcess) -> None:
    foreign = "02:00:00:00:07:ee"
    hostile, victim = await asyncio.gather(
        machine(worker, interface("eth0", LAN, CLIENT_MAC)),
        machine(worker, interface("eth0", LAN, SERVER_MAC)),
    )
    for each in (hostile, victim):
        await python(worker, each, programs.ADDRESS, "eth0", "none")
    last = note(SERVER_MAC, CLIENT_MAC, "the last one")
    hearing = await begin(worker, victim, programs.HEAR, "eth0", last.hex())
    forged = note(SERVER_MAC, foreign, "forged")
    await python(worker, hostile, programs.FORGE, "eth0", forged.hex(), last.hex())
    heard = await output(worker, victim, hearing)
    assert any(line.startswith(last.hex()) for line in heard)
    assert not any(line.startswith(forged.hex()) for line in heard)
