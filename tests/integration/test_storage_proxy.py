"""`SCAIGRID_MODE=bunker_proxy`: the real process, with neither database nor Redis."""

import asyncio
import contextlib
import hashlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from scaibunker.storage.capabilities import Capability, Signer, derived_key
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.snapshots.http_store import HttpStore
from scaibunker.worker.snapshots.store import ObjectMissing
from tests.integration.stack import error_of
from tests.ports import free_port
from tests.servers import S3Server, running
from tests.waiting import until

TOKEN = "a-token-for-the-storage-proxy"
BASE = "/v1/modules/scaibunker/storage"
MIB = 1024 * 1024
LARGE = 256 * MIB
GROWTH = 32 * MIB
WORKER = {"Authorization": f"Bearer {TOKEN}"}


def local(folder: Path) -> dict[str, str]:
    return {"SCAIBUNKER_OBJECT_STORE_URL": f"file://{folder}/objects"}


def bucket(server: S3Server) -> dict[str, str]:
    return {
        "SCAIBUNKER_OBJECT_STORE_URL": f"s3://{server.BUCKET}/proxy",
        "SCAIBUNKER_OBJECT_STORE_ENDPOINT": server.endpoint,
        "SCAIBUNKER_OBJECT_STORE_ACCESS_KEY_ID": server.KEY_ID,
        "SCAIBUNKER_OBJECT_STORE_SECRET_ACCESS_KEY": server.SECRET,
        "SCAIBUNKER_OBJECT_STORE_ALLOW_HTTP": "true",
        "SCAIBUNKER_OBJECT_STORE_RETRIES": "1",
        "SCAIBUNKER_OBJECT_STORE_RETRY_FOR_S": "1",
    }


class Proxy:
    """One that runs."""

    def __init__(self, process: asyncio.subprocess.Process, client: httpx.AsyncClient) -> None:
        self.pid = process.pid
        self.client = client

    async def put(self, key: str, content: object, **headers: str) -> httpx.Response:
        return await self.client.put(
            f"{BASE}/{key}",
            content=content,
            headers={**WORKER, **headers},  # type: ignore[arg-type]
        )

    async def get(self, key: str, **headers: str) -> httpx.Response:
        return await self.client.get(f"{BASE}/{key}", headers={**WORKER, **headers})

    def memory(self, line: str = "VmRSS") -> int:
        found = re.search(rf"{line}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found
        return int(found[1]) * 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@asynccontextmanager
async def proxy(settings: dict[str, str], wait: str = "/health/ready") -> AsyncIterator[Proxy]:
    """Ended in good order; its log has no secret in it."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from scaigrid.modes import main; main()",
        env={
            "PATH": os.environ["PATH"],
            "SCAIGRID_MODE": "bunker_proxy",
            "SCAIGRID_HTTP_PORT": str(port),
            "SCAIBUNKER_WORKER_TOKEN": TOKEN,
            **settings,
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    reading = asyncio.create_task(process.stderr.read())
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

            async def answers() -> bool:
                assert process.returncode is None, "it has ended"
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(wait)).status_code == 200
                return False

            await until(answers, 60)
            yield Proxy(process, client)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 60)
        log = (await reading).decode()
    assert code == 0, log[-3000:]
    for secret in (TOKEN, S3Server.SECRET, "eyJ"):
        assert secret not in log


def capability(**changes: object) -> Capability:
    made = Capability(
        "cap_1",
        "tenants/ten_1/",
        frozenset({"PUT", "GET", "DELETE"}),
        1000,
        datetime.now(UTC) + timedelta(minutes=5),
        "ten_1",
        "usr_1",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def bearing(signer: Signer, what: Capability) -> dict[str, str]:
    return {"Authorization": f"Bearer {signer.sign(what, datetime.now(UTC))}"}


async def test_it_serves_the_storage_operations_and_nothing_else(tmp_path: Path) -> None:
    async with proxy(local(tmp_path)) as running_proxy:
        client = running_proxy.client
        stored = await running_proxy.put("a/b", b"content")
        assert stored.json()["data"]["sha256"] == hashlib.sha256(b"content").hexdigest()
        assert (await running_proxy.get("a/b")).content == b"content"
        assert (await running_proxy.get("a/b", Range="bytes=2-3")).content == b"nt"
        head = await client.head(f"{BASE}/a/b", headers=WORKER)
        assert head.headers["content-length"] == "7"
        assert (await client.delete(f"{BASE}/a/b", headers=WORKER)).status_code == 200
        assert error_of(await running_proxy.get("a/b")) == (404, "OBJECT_NOT_FOUND")
        assert error_of(await client.get(f"{BASE}/a/b")) == (401, "AUTH_TOKEN_MISSING")
        for path in ("/health", "/health/live", "/health/ready"):
            assert (await client.get(path)).json()["data"] == {"health": "ok"}
        metrics = (await client.get("/metrics")).text
        assert 'scaibunker_storage_bytes_total{direction="in"} 7.0' in metrics
        assert 'scaibunker_storage_bytes_total{direction="out"} 9.0' in metrics
        for method, path in (
            ("GET", "/v1/me"),
            ("GET", "/v1/modules/scaibunker/bunkers"),
            ("GET", "/health/detailed"),
        ):
            response = await client.request(method, path, headers=WORKER)
            assert error_of(response) == (404, "NOT_FOUND")
        minting = await client.post(f"{BASE}/capabilities", headers=WORKER, json={})
        assert error_of(minting) == (405, "METHOD_NOT_ALLOWED")
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert f"{BASE}/{{key}}" in paths


async def test_capabilities_and_the_rotation_of_their_keys(tmp_path: Path) -> None:
    old, new, other = ("o" * 32, "n" * 32, "x" * 32)
    settings = {**local(tmp_path), "SCAIBUNKER_STORAGE_CAPABILITY_KEYS": f"{new},{old}"}
    async with proxy(settings) as running_proxy:
        client = running_proxy.client

        async def put(signer: Signer, key: str, **changes: object) -> httpx.Response:
            headers = bearing(signer, capability(**changes))
            return await client.put(f"{BASE}/{key}", content=b"x" * 1000, headers=headers)

        for key in (old, new):
            signer = Signer([key.encode()], 3600)
            assert (await put(signer, "tenants/ten_1/a")).status_code == 200
            for wrong, changes in (
                ("tenants/ten_2/a", {}),
                ("tenants/ten_1", {}),
                ("tenants/ten_1/a", {"methods": frozenset({"GET"})}),
            ):
                refusal = await put(signer, wrong, **changes)
                assert error_of(refusal) == (403, "AUTHZ_PERMISSION_DENIED")
            assert error_of(await put(signer, "tenants/ten_1/a", max_bytes=999)) == (
                413,
                "PAYLOAD_TOO_LARGE",
            )
            over = datetime.now(UTC) - timedelta(seconds=1)
            refusal = await put(signer, "tenants/ten_1/a", expires_at=over)
            assert error_of(refusal) == (401, "SERVICE_TOKEN_INVALID")
        for key in (other.encode(), derived_key(TOKEN)):
            refusal = await put(Signer([key], 3600), "tenants/ten_1/a")
            assert error_of(refusal) == (401, "SERVICE_TOKEN_INVALID")


async def test_what_a_controller_has_signed_is_good_without_more_settings(tmp_path: Path) -> None:
    async with proxy(local(tmp_path)) as running_proxy:
        headers = bearing(Signer([derived_key(TOKEN)], 3600), capability())
        response = await running_proxy.client.put(
            f"{BASE}/tenants/ten_1/x", content=b"x", headers=headers
        )
        assert response.status_code == 200


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    """One that may be killed."""
    yield from running(S3Server(tmp_path / "s3"))


async def test_it_is_ready_when_its_store_is(server: S3Server) -> None:
    async with proxy(bucket(server)) as running_proxy:
        client = running_proxy.client
        assert (await running_proxy.put("k", b"x" * 10)).status_code == 200
        server.kill()

        async def not_ready() -> bool:
            response = await client.get("/health/ready")
            return response.status_code == 503 and "object store" in response.text

        await until(not_ready)
        assert (await client.get("/health/live")).status_code == 200
        for response in (await running_proxy.get("k"), await running_proxy.put("k", b"y")):
            assert error_of(response) == (503, "STORAGE_UNAVAILABLE")
            assert response.headers["retry-after"]
        server.start()

        async def ready() -> bool:
            return (await client.get("/health/ready")).status_code == 200

        await until(ready)
        assert (await running_proxy.get("k")).content == b"x" * 10


@pytest.mark.parametrize("kind", ["local", "s3"])
async def test_its_memory_stays_bounded(kind: str, tmp_path: Path, s3_server: S3Server) -> None:
    settings = local(tmp_path) if kind == "local" else bucket(s3_server)
    async with proxy(settings) as running_proxy:
        await transfer(running_proxy, "warm-up", 48 * MIB)
        running_proxy.forget_peak()
        before = running_proxy.memory()
        await transfer(running_proxy, "large", LARGE)
        growth = running_proxy.memory("VmHWM") - before
        assert growth < GROWTH, f"{growth / MIB:.1f} MiB"


async def transfer(through: Proxy, key: str, size: int) -> None:
    """There and back."""
    piece = os.urandom(MIB)
    sent = hashlib.sha256()

    async def body() -> AsyncIterator[bytes]:
        for n in range(size // MIB):
            data = n.to_bytes(8, "big") + piece[8:]
            sent.update(data)
            yield data

    stored = (await through.put(key, body())).json()["data"]
    assert (stored["size"], stored["sha256"]) == (size, sent.hexdigest())
    got, count = hashlib.sha256(), 0
    async with through.client.stream("GET", f"{BASE}/{key}", headers=WORKER) as response:
        async for chunk in response.aiter_raw():
            got.update(chunk)
            count += len(chunk)
    assert (count, got.hexdigest()) == (size, sent.hexdigest())
    await through.client.delete(f"{BASE}/{key}", headers=WORKER)


async def test_a_download_breaks_off_visibly(server: S3Server) -> None:
    async with proxy(bucket(server)) as running_proxy:
        await running_proxy.put("k", os.urandom(48 * MIB))

        async def read_on() -> None:
            path = f"{BASE}/k"
            async with running_proxy.client.stream("GET", path, headers=WORKER) as response:
                assert response.status_code == 200
                async for _ in response.aiter_raw():
                    server.kill()

        with pytest.raises(httpx.RemoteProtocolError):
            await read_on()


async def test_a_wrong_setting_stops_the_start(tmp_path: Path) -> None:
    for changes, named in (
        ({"SCAIBUNKER_OBJECT_STORE_URL": "x"}, "SCAIBUNKER_OBJECT_STORE_URL"),
        ({"SCAIBUNKER_STORAGE_CAPABILITY_KEYS": "shorty"}, "SCAIBUNKER_STORAGE_CAPABILITY_KEYS"),
        ({"SCAIBUNKER_WORKER_TOKEN": ""}, "SCAIBUNKER_WORKER_TOKEN"),
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from scaigrid.modes import main; main()",
            env={
                "PATH": os.environ["PATH"],
                "SCAIGRID_MODE": "bunker_proxy",
                "SCAIBUNKER_WORKER_TOKEN": TOKEN,
                **local(tmp_path),
                **changes,
            },
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 2
        assert named in err.decode()
        assert "shorty" not in err.decode()
        assert "Traceback" not in err.decode()


async def test_a_worker_keeps_its_snapshots_here(tmp_path: Path) -> None:
    data = os.urandom(3 * MIB + 1)
    name = "snp_abcd1234/disk.zst"

    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(data), MIB):
            yield data[begin : begin + MIB]

    async with proxy(local(tmp_path)) as served:
        store = HttpStore(str(served.client.base_url), TOKEN)
        with pytest.raises(WorkerFault, match="422"):
            await store.put(name, chunks(), size=len(data), sha256="0" * 64)
        with pytest.raises(ObjectMissing):
            await anext(store.get(name))
        digest = hashlib.sha256(data).hexdigest()
        await store.put(name, chunks(), size=len(data), sha256=digest)
        assert b"".join([chunk async for chunk in store.get(name)]) == data
        assert b"".join([chunk async for chunk in store.get(name, MIB + 7)]) == data[MIB + 7 :]
        with pytest.raises(WorkerFault, match="shorter than it was"):
            await anext(store.get(name, len(data)))
        assert (await served.get(f"scaibunker/snapshots/{name}")).content == data
        await store.delete(name)
        await store.delete(name)
        stranger = HttpStore(str(served.client.base_url), "another-token")
        with pytest.raises(WorkerFault, match="401"):
            await stranger.put(name, chunks(), size=len(data), sha256=digest)
