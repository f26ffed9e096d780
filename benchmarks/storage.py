"""`python -m benchmarks.storage`: large objects through a storage proxy, beside the store alone.

The real process with a local directory, and with a real S3 server; the floor is the same store used
from here, without HTTP between. Memory is what the proxy grows by at its peak.
"""

import argparse
import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from tests.integration.simulated_worker import TOKEN
from tests.ports import free_port
from tests.servers import S3Server, running

from benchmarks import processes
from benchmarks.figures import Figure, from_samples, save, show, this_host
from scaibunker.storage.backend import StoreOptions
from scaibunker.storage.objects import ObjectStore

BASE = "/v1/modules/scaibunker/storage"
MIB = 1024 * 1024
PIECE = os.urandom(MIB)
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench-storage.json"))
    parser.add_argument("--size", type=int, default=1024, help="of the object, in MiB")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    figures = asyncio.run(measure(options.size, options.rounds))
    show(figures)
    host = {
        **this_host(),
        "size_mib": options.size,
    }
    save(figures, host, options.json)
    print(f"written to {options.json}")
    return 0


async def measure(size: int, rounds: int) -> list[Figure]:
    """All figures of one run."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="scaibunker-bench-") as name:
        folder = Path(name)
        local = StoreOptions(f"file://{folder}/objects")
        figures += await _of("directory", local, size, rounds, folder)
        with contextlib.contextmanager(running)(S3Server(folder / "s3")) as server:
            bucket = StoreOptions(
                f"s3://{server.BUCKET}",
                endpoint=server.endpoint,
                access_key_id=server.KEY_ID,
                secret_access_key=server.SECRET,
                allow_http=True,
            )
            figures += await _of("bucket", bucket, size, rounds, folder)
    return figures


async def _of(
    kind: str, options: StoreOptions, size: int, rounds: int, folder: Path
) -> list[Figure]:
    store, port = ObjectStore(options), free_port()
    names = ("url", "endpoint", "access_key_id", "secret_access_key", "allow_http")
    told = {name: getattr(options, name) for name in names}
    environment = {
        "PATH": os.environ["PATH"],
        "SCAIGRID_MODE": "bunker_proxy",
        "SCAIGRID_HTTP_PORT": str(port),
        "SCAIBUNKER_WORKER_TOKEN": TOKEN,
        **{f"SCAIBUNKER_OBJECT_STORE_{n.upper()}": str(v) for n, v in told.items() if v},
    }
    ours: dict[str, list[float]] = {"put": [], "get": []}
    floor: dict[str, list[float]] = {"put": [], "get": []}
    grown = []
    with processes.process(processes.CONTROLLER, environment, folder / "proxy.log") as process:
        await processes.until_served(port, "/health/ready")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=600) as client:
            await _put(client, 48)
            await _get(client, 48)
            for _ in range(rounds):
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")
                before = _memory(process.pid, "VmRSS")
                ours["put"].append(size / await _put(client, size))
                ours["get"].append(size / await _get(client, size))
                grown.append(_memory(process.pid, "VmHWM") - before)
                floor["put"].append(size / await _write(store, size))
                floor["get"].append(size / await _read(store, size))
    return [
        *(
            from_samples(f"{kind}, {size} MiB: {verb}", ours[verb], "MiB/s", floor[verb])
            for verb in ("put", "get")
        ),
        from_samples(f"{kind}, {size} MiB each way: memory", grown, "MiB"),
    ]


async def _put(client: httpx.AsyncClient, size: int) -> float:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(size):
            yield PIECE

    begun = time.monotonic()
    response = await client.put(f"{BASE}/k", content=body(), headers=HEADERS)
    assert response.json()["data"]["size"] == size * MIB
    return time.monotonic() - begun


async def _get(client: httpx.AsyncClient, size: int) -> float:
    begun, count = time.monotonic(), 0
    async with client.stream("GET", f"{BASE}/k", headers=HEADERS) as response:
        async for chunk in response.aiter_raw():
            count += len(chunk)
    assert count == size * MIB
    return time.monotonic() - begun


async def _write(store: ObjectStore, size: int) -> float:
    begun = time.monotonic()
    async with store.write("floor") as writer:
        for _ in range(size):
            await writer.write(PIECE)
    return time.monotonic() - begun


async def _read(store: ObjectStore, size: int) -> float:
    begun, count = time.monotonic(), 0
    async for chunk in (await store.read("floor")).chunks:
        count += len(chunk)
    assert count == size * MIB
    return time.monotonic() - begun


def _memory(pid: int, line: str) -> float:
    """MiB."""
    found = re.search(rf"{line}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
