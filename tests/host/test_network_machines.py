"""Bunkers with networks, on a real daemon with real microVMs: what passes, over everything that can happen to them.

The daemon's host is a namespace of the lab's, and the outside is the lab's too.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scaibunker.artifacts.manifest import Artifacts
from tests.host.guest_programs import CA, GET, TALK
from tests.host.lab import Lab, plan
from tests.host.warm_starts import start_of, until_made
from tests.host.worker_process import BOOT_LIMIT_S, WorkerProcess
from tests.waiting import until

UNRESTRICTED = {"profile": "unrestricted"}
SHOP, OTHER, PACKAGES = "shop.test", "other.test", "pypi.registry.test"


def settings(folder: Path) -> dict[str, str]:
    registries = folder / "registries"
    registries.write_text(f"{PACKAGES}\n")
    return {
        "NETWORK_UPSTREAM_RESOLVERS": json.dumps([plan.RESOLVER_V4]),
        "NETWORK_REGISTRY_FILE": str(registries),
        "NETWORK_POOL_SIZE": "1",
    }


@pytest.fixture
async def worker(tmp_path: Path, artifacts: Artifacts, lab: Lab) -> AsyncIterator[WorkerProcess]:
    """A daemon on the lab's host, which is checked for leftovers at the end."""
    process = WorkerProcess(tmp_path, artifacts, lab, **settings(tmp_path))
    links = lab.host.ip("-o", "link")
    await process.start()
    try:
        yield process
    finally:
        await process.take_down()
    assert process.leftovers() == []
    assert lab.host.ip("-o", "link").count("\n") == links.count("\n")
    assert lab.host.run("nft", "list", "ruleset") == ""


@pytest.fixture(autouse=True)
def sites(lab: Lab) -> None:
    for name in (SHOP, OTHER, PACKAGES):
        lab.site(name)


def allowed(*names: str, **fields: Any) -> dict[str, Any]:
    return {"profile": "allowlisted", "allowlist": list(names), **fields}


async def put(worker: WorkerProcess, machine: str, path: str, content: bytes | str) -> None:
    data = content.encode() if isinstance(content, str) else content
    async with await worker.request(
        "PUT", f"/v1/machines/{machine}/files?path={path}&user=root", data=data
    ) as response:
        assert response.status < 300, await response.text()


async def furnish(worker: WorkerProcess, lab: Lab, machine: str) -> None:
    """The programs above, and whom the guest trusts."""
    await put(worker, machine, CA, lab.authority.pem)
    await put(worker, machine, "/tmp/get.py", GET)
    await put(worker, machine, "/tmp/talk.py", TALK)


async def get(worker: WorkerProcess, machine: str, url: str) -> str:
    """`200`, or the name of what went wrong."""
    _, said = await worker.run(machine, f"python3 /tmp/get.py {url}")
    return said.decode().split()[0] if said else "nothing"


class Conversation:
    """A connection of a guest to the echo of a site, that goes on and on."""

    def __init__(self, worker: WorkerProcess, machine: str) -> None:
        self._worker, self._machine = worker, machine

    async def begin(self, site: str, port: int = 7) -> "Conversation":
        command = f"python3 /tmp/talk.py {site} {port} > /tmp/said 2>&1 & disown"
        code, _ = await self._worker.run(self._machine, f"bash -c '{command}'")
        assert code == 0
        await self.goes_on()
        return self

    async def count(self) -> int:
        _, said = await self._worker.run(self._machine, "tail -n 1 /tmp/said")
        assert said.strip().isdigit() or not said.strip(), said
        return int(said or b"0")

    async def goes_on(self, timeout_s: float = 60) -> None:
        before = await self.count()

        async def further() -> bool:
            return await self.count() > before + 1

        await until(further, timeout_s, lambda: f"more than {before}")


async def test_each_profile_lets_pass_what_it_says(worker: WorkerProcess, lab: Lab) -> None:
    health = await worker.call("GET", "/v1/health")
    assert health
    machine = await worker.create("python-3.11", network=allowed(SHOP))
    await furnish(worker, lab, machine)
    assert await get(worker, machine, f"https://{SHOP}/") == "200"
    assert await get(worker, machine, f"http://{SHOP}/") == "200"
    assert lab.log.hits(service="https", name=SHOP)[0].peer in (plan.HOST_V4, plan.HOST_V6)
    assert await get(worker, machine, f"https://{OTHER}/") == "gaierror"
    assert await get(worker, machine, f"http://{lab.site('third.test').v4}/") != "200"
    assert not lab.log.hits(name=OTHER)
    status = await worker.call("GET", f"/v1/machines/{machine}")
    assert status["egress_bytes"] > 0
    assert status["incarnation"]

    # Root can change its addresses, and its network devices' too. It gets nowhere by that.
    lab.log.clear()
    forge = (
        "python3 -c 'import fcntl, socket, struct; s = socket.socket();"
        ' fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"eth0", 0));'
        ' fcntl.ioctl(s, 0x8924, struct.pack("16sH6s8x", b"eth0", 1, bytes.fromhex("%s")));'
        ' fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"eth0", 1))\''
    )
    code, said = await worker.run(machine, forge % "025ca1000077", user="root")
    assert code == 0, said
    assert await get(worker, machine, f"https://{SHOP}/") != "200"
    assert not lab.log.hits(service="https", name=SHOP)
    await worker.call("DELETE", f"/v1/machines/{machine}")

    registry = await worker.create("python-3.11", network={"profile": "registry"})
    await furnish(worker, lab, registry)
    assert await get(worker, registry, f"https://{PACKAGES}/simple/") == "200"
    assert await get(worker, registry, f"https://{SHOP}/") == "gaierror"
    await worker.call("DELETE", f"/v1/machines/{registry}")

    isolated = await worker.create("python-3.11")
    _, names = await worker.run(isolated, "ls /sys/class/net")
    assert names == b"lo\n"
    code, _ = await worker.run(
        isolated,
        'python3 -c \'import socket; a = socket.create_server(("::1", 0), family=socket.AF_INET6);'
        " socket.create_connection(a.getsockname()[:2], 5)'",
    )
    assert code == 0  # loopback works


async def test_connections_live_on_over_pauses_and_daemons(worker: WorkerProcess, lab: Lab) -> None:
    machine = await worker.create("python-3.11", network=UNRESTRICTED)
    await furnish(worker, lab, machine)
    talk = await Conversation(worker, machine).begin(SHOP)
    (hit,) = lab.log.hits(service="echo", where="world")

    await worker.call("PUT", f"/v1/machines/{machine}/power", json={"state": "paused"})
    await worker.call("PUT", f"/v1/machines/{machine}/power", json={"state": "running"})
    await talk.goes_on()

    before = await talk.count()
    await worker.kill()
    await asyncio.sleep(0)
    await worker.start()
    await worker.until(machine, "running")
    await talk.goes_on()
    assert await talk.count() > before
    assert lab.log.hits(service="echo", where="world") == [hit]  # one connection all the time
    assert await get(worker, machine, f"https://{OTHER}/") == "200"

    # One that is paused while the daemon changes is there as it was, too.
    await worker.call("PUT", f"/v1/machines/{machine}/power", json={"state": "paused"})
    await worker.kill()
    await worker.start()
    await worker.until(machine, "paused")
    await worker.call("PUT", f"/v1/machines/{machine}/power", json={"state": "running"})
    await talk.goes_on()
    assert lab.log.hits(service="echo", where="world") == [hit]


async def test_memory_goes_on_with_a_network_of_its_own(worker: WorkerProcess, lab: Lab) -> None:
    first = await worker.create("python-3.11", network=allowed(SHOP))
    await furnish(worker, lab, first)
    assert await get(worker, first, f"https://{SHOP}/") == "200"
    status = await worker.snapshot(first, "full")
    assert status["phase"] == "stored", status
    source = {
        "snapshot_id": status["snapshot_id"],
        "kind": "full",
        "manifest_sha256": status["manifest_sha256"],
    }
    # Both live at the same time, with the same addresses, and with names of their own.
    copy = await worker.create("python-3.11", network=allowed(OTHER), snapshot=source)
    assert await get(worker, copy, f"https://{OTHER}/") == "200"
    assert await get(worker, copy, f"https://{SHOP}/") == "gaierror"
    assert await get(worker, first, f"https://{SHOP}/") == "200"

    spec = worker.spec("python-3.11", snapshot=source)
    await worker.call("PUT", f"/v1/machines/{spec.bunker_id}", data=spec.model_dump_json())
    refused = await worker.until(spec.bunker_id, "failed", "running")
    assert refused["reason_code"] == "SNAPSHOT_INCOMPATIBLE", refused

    cold = await worker.create("python-3.11", snapshot={**source, "kind": "disk"})
    _, names = await worker.run(cold, "ls /sys/class/net")
    assert names == b"lo\n"


async def test_a_prepared_machine_is_closed_until_it_is_a_bunker(
    tmp_path: Path, artifacts: Artifacts, lab: Lab
) -> None:
    worker = WorkerProcess(
        tmp_path, artifacts, lab, **settings(tmp_path), WARM_STARTS="true", WARM_SLOTS="1"
    )
    await worker.start()
    try:
        cold = await worker.create("python-3.11", network=UNRESTRICTED)
        assert await start_of(worker, cold) == "boot"
        await until_made(worker, "slot_ready", 1)
        asked = len(lab.log.hits())
        assert asked == 0  # nothing of the template and the prepared machine has left

        took = await first_exec(worker, network=allowed(SHOP))
        warm = took.pop("machine")
        assert await start_of(worker, warm) == "template"
        await furnish(worker, lab, warm)
        assert await get(worker, warm, f"https://{SHOP}/") == "200"
        assert await get(worker, warm, f"https://{OTHER}/") == "gaierror"
        print("routed, prepared:", took)

        # SIGKILL while machines are prepared: their networks go with them.
        await until_made(worker, "slot_ready", 2)
        await worker.kill()
        await worker.start()
        await worker.until(warm, "running")
        assert await get(worker, warm, f"https://{SHOP}/") == "200"
    finally:
        await worker.take_down()
    assert worker.leftovers() == []
    assert lab.host.run("nft", "list", "ruleset") == ""


async def first_exec(worker: WorkerProcess, **fields: Any) -> dict[str, Any]:
    """Order one and run a command; how long each took, in milliseconds."""
    spec = worker.spec("python-3.11", **fields)
    begun = time.monotonic()
    await worker.call("PUT", f"/v1/machines/{spec.bunker_id}", data=spec.model_dump_json())
    async with asyncio.timeout(BOOT_LIMIT_S):
        while (await worker.call("GET", f"/v1/machines/{spec.bunker_id}"))["state"] != "running":
            await asyncio.sleep(0.002)
    ready = time.monotonic()
    code, _ = await worker.run(spec.bunker_id, f"echo {secrets.token_hex(2)}")
    assert code == 0
    ended = time.monotonic()
    return {
        "machine": spec.bunker_id,
        "running_ms": round((ready - begun) * 1000),
        "first_exec_ms": round((ended - begun) * 1000),
    }
