"""Snapshots over HTTP: what is said to the storage routes, and what is made of their answers."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from scaibunker.wire.codes import Code
from scaibunker.wire.worker.snapshots import SnapshotPart
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.snapshots import fetching, http_store
from scaibunker.worker.snapshots.http_store import HttpStore
from scaibunker.worker.snapshots.store import ObjectMissing, StoreAway

NAME = "snp_abcd1234/disk.zst"
ROUTE = "/v1/modules/scaibunker/storage/{key:.+}"


class Storage:
    """The routes, with objects in memory. `refusal` is a status, and a code, to answer instead."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refusal: tuple[int, str] | None = None
        self.cut = False
        self.cuts = 0
        self.knows_ranges = True
        self.ranges: list[str | None] = []
        self.heard: list[tuple[str, str, str | None, str | None]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        headers = request.headers
        self.heard.append(
            (request.method, key, headers.get("Authorization"), headers.get("Content-Length"))
        )
        if self.refusal is not None:
            status, code = self.refusal
            body = {"status": "error", "error": {"code": code, "message": "no"}}
            return web.json_response(body, status=status)
        match request.method:
            case "PUT":
                data = await request.read()
                if hashlib.sha256(data).hexdigest() != headers["X-Content-SHA256"]:
                    return web.Response(status=422)
                self.objects[key] = data
                return web.Response(status=201)
            case "DELETE":
                self.objects.pop(key, None)
                return web.Response(status=204)
        if key not in self.objects:
            return web.Response(status=404)
        return await self._send(request, self.objects[key])

    async def _send(self, request: web.Request, whole: bytes) -> web.StreamResponse:
        self.ranges.append(headers := request.headers.get("Range"))
        start = int(headers[6:-1]) if headers and self.knows_ranges else 0
        if start >= len(whole):
            return web.Response(status=416)
        rest = whole[start:]
        response = web.StreamResponse(
            status=206 if start else 200, headers={"Content-Length": str(len(rest))}
        )
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        await response.prepare(request)
        cut = self.cut or self.cuts > 0
        self.cuts -= 1
        await response.write(rest[: len(rest) // 2] if cut else rest)
        if cut and request.transport is not None:
            request.transport.close()
        return response


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
async def store(storage: Storage) -> AsyncIterator[HttpStore]:
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", ROUTE, storage.answer)
    async with TestServer(app) as server:
        yield HttpStore(f"http://127.0.0.1:{server.port}/", "swt_secret")


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), 1000):
        yield data[begin : begin + 1000]


async def _put(store: HttpStore, data: bytes, sha256: str | None = None) -> None:
    digest = sha256 or hashlib.sha256(data).hexdigest()
    await store.put(NAME, _chunks(data), size=len(data), sha256=digest)


async def _get(store: HttpStore) -> bytes:
    return b"".join([chunk async for chunk in store.get(NAME)])


async def _fetched(store: HttpStore, data: bytes) -> bytes:
    """As a restore reads it, which knows what it should be."""
    snapshot_id, name = NAME.split("/")
    part = SnapshotPart(
        sha256=hashlib.sha256(data).hexdigest(), size=len(data), unpacked_size=len(data)
    )
    return b"".join([c async for c in fetching.verified(store, snapshot_id, name, part)])


async def test_there_and_back(store: HttpStore, storage: Storage) -> None:
    data = bytes(range(256)) * 40
    await _put(store, data)
    assert await _get(store) == data
    key = f"scaibunker/snapshots/{NAME}"
    assert storage.heard[0] == ("PUT", key, "Bearer swt_secret", str(len(data)))
    await store.delete(NAME)
    await store.delete(NAME)
    with pytest.raises(ObjectMissing):
        await _get(store)


async def test_another_body_than_was_said_is_refused(store: HttpStore) -> None:
    with pytest.raises(WorkerFault, match="422"):
        await _put(store, b"x" * 5000, sha256="0" * 64)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (503, StoreAway, Code.STORAGE_UNAVAILABLE),
        (507, WorkerFault, Code.STORAGE_FULL),
        (403, WorkerFault, Code.INTERNAL_ERROR),
    ],
)
async def test_refusals(
    store: HttpStore, storage: Storage, status: int, kind: type[WorkerFault], code: Code
) -> None:
    storage.refusal = (status, "SOME_CODE")
    with pytest.raises(WorkerFault) as raised:
        await _put(store, b"data")
    assert type(raised.value) is kind
    assert raised.value.code == code
    assert "swt_secret" not in raised.value.message


async def test_an_answer_that_is_cut_is_no_object(store: HttpStore, storage: Storage) -> None:
    await _put(store, b"x" * 100_000)
    storage.cut = True
    with pytest.raises(StoreAway):
        await _get(store)


@pytest.mark.parametrize("knows_ranges", [True, False])
async def test_what_is_cut_goes_on_where_it_broke_off(
    store: HttpStore, storage: Storage, monkeypatch: pytest.MonkeyPatch, *, knows_ranges: bool
) -> None:
    monkeypatch.setattr(fetching, "FIRST_PAUSE_S", 0.01)
    # What has not been read of an answer when it is cut, is lost: little of this.
    monkeypatch.setattr(http_store, "READ_AHEAD", 64 * 1024)
    data = os.urandom(32_000_000)
    storage.objects[f"scaibunker/snapshots/{NAME}"] = data
    storage.cuts, storage.knows_ranges = 3, knows_ranges
    assert await _fetched(store, data) == data
    assert len(storage.ranges) == 4
    assert storage.ranges[0] is None
    if knows_ranges:
        starts = [int(r[6:-1]) for r in storage.ranges if r]
        assert starts == sorted(set(starts))
        assert starts[-1] > 16_000_000  # 28,000,000 and nothing lost


async def test_other_bytes_behind_the_break_are_refused(
    store: HttpStore, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "FIRST_PAUSE_S", 0.01)
    data = os.urandom(1_000_000)
    await _put(store, data[:-1] + b"x")
    storage.cuts = 1
    with pytest.raises(WorkerFault, match="not what was stored"):
        await _fetched(store, data)
    # It was replaced by a shorter one.
    await _put(store, data[:100])
    with pytest.raises(WorkerFault, match="shorter than it was"):
        async for _ in store.get(NAME, 1000):
            pass


async def test_a_store_that_stays_away_is_given_up(
    store: HttpStore, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(fetching, "STANDSTILL_S", 0.3)
    storage.refusal = (503, "STORAGE_UNAVAILABLE")
    with pytest.raises(StoreAway, match="503"):
        await _fetched(store, b"data")
    assert 2 < len(storage.heard) < 30


async def test_a_store_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "STANDSTILL_S", 0.3)
    over = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StoreAway, match="stood still"):
            await _fetched(HttpStore(f"http://127.0.0.1:{port}", "swt_secret"), b"data")
        over.set()


async def test_a_store_that_nobody_serves_is_away() -> None:
    with pytest.raises(StoreAway):
        await _put(HttpStore("http://127.0.0.1:1", "swt_secret"), b"data")


@pytest.mark.parametrize("name", ["../x", "snp_a/../b", "snp_a/disk.zst/..", "snp_a", ""])
async def test_names_cannot_be_paths(store: HttpStore, storage: Storage, name: str) -> None:
    with pytest.raises(WorkerFault, match="no name"):
        await store.delete(name)
    assert storage.heard == []
