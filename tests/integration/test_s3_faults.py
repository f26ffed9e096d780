"""A bucket whose server dies, stalls, lies or is not ours to use: a clear error, in time, and no object
that is not whole."""

import asyncio
import hashlib
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from scaibunker.storage.errors import (
    BrokenObject,
    NoSuchObject,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from scaibunker.storage.objects import ObjectStore
from tests.integration import bad_s3
from tests.integration.bad_s3 import bad_server
from tests.integration.buckets import MIB, bucket, content, joined, put
from tests.ports import free_port
from tests.servers import S3Server, running
from tests.waiting import loop_time

PIECE = bytes(range(256)) * 4096  # 1 MiB
LARGE = 72


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    """One that may be killed."""
    yield from running(S3Server(tmp_path))


def impatient(url: str, **more: object) -> ObjectStore:
    """A store at a server that misbehaves."""
    options = {"stall_timeout_s": 0.5, "retries": 1, "retry_for_s": 1, "endpoint": url, **more}
    return ObjectStore(bucket(S3ServerLike(), **options))


class S3ServerLike(S3Server):
    """Its names, without a process."""

    def __init__(self) -> None:
        self.port = 0


async def upload(store: ObjectStore, key: str, pieces: int) -> str:
    """Its digest."""
    digest = hashlib.sha256()
    async with store.write(key) as writer:
        for n in range(pieces):
            piece = n.to_bytes(4, "big") + PIECE[4:]
            digest.update(piece)
            await writer.write(piece)
    return digest.hexdigest()


async def digest_of(store: ObjectStore, key: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    async for chunk in (await store.read(key)).chunks:
        size += len(chunk)
        digest.update(chunk)
    return size, digest.hexdigest()


async def got_before(error: type[StoreError], store: ObjectStore) -> int:
    """Bytes of the object `k` that are given out before the error."""
    got = 0
    try:
        async for chunk in (await store.read("k")).chunks:
            got += len(chunk)
    except error:
        return got
    raise AssertionError("all of it was read")


async def test_a_large_object_in_parts(s3_server: S3Server) -> None:
    before = s3_server.unfinished()
    store = ObjectStore(bucket(s3_server))
    sent = await upload(store, "large", LARGE)
    assert await digest_of(store, "large") == (LARGE * MIB, sent)
    edge = 40 * MIB
    assert await content(store, "large", edge - 2, edge + 4) == PIECE[-2:] + (40).to_bytes(4, "big")
    assert set(s3_server.unfinished()) <= set(before)


async def test_the_server_dies_during_an_upload(server: S3Server) -> None:
    store = ObjectStore(bucket(server, "p", retries=1, retry_for_s=1))
    await put(store, "k", b"old")
    writer = store.write("k")
    for _ in range(12):
        await writer.write(PIECE)
    server.kill()

    async def go_on() -> None:
        while True:
            await writer.write(PIECE)

    async with loop_time() as clock:
        with pytest.raises(StoreUnavailable):
            await go_on()
        await writer.discard()
        assert clock.seconds < 15
    server.start()
    assert await content(store, "k") == b"old"
    assert await upload(store, "k", 12)
    assert (await store.head("k")).size == 12 * MIB


async def test_the_server_dies_before_an_upload_is_complete(server: S3Server) -> None:
    store = ObjectStore(bucket(server, "p", retries=1, retry_for_s=1))
    writer = store.write("k")
    for _ in range(12):
        await writer.write(PIECE)
    server.kill()
    with pytest.raises(StoreUnavailable):
        await writer.close()
    server.start()
    with pytest.raises(NoSuchObject):
        await store.head("k")


async def test_an_upload_survives_a_restart_of_the_server(server: S3Server) -> None:
    store = ObjectStore(bucket(server, "p", retries=20, retry_for_s=30))
    writer = store.write("k")
    for _ in range(12):
        await writer.write(PIECE)
    server.kill()
    closing = asyncio.create_task(writer.close())
    await asyncio.to_thread(server.start)
    await closing
    assert (await store.head("k")).size == 12 * MIB


async def test_the_server_dies_during_a_download(server: S3Server) -> None:
    store = ObjectStore(bucket(server, "p", retries=1, retry_for_s=1))
    await upload(store, "k", LARGE)
    body = await store.read("k")
    await anext(body.chunks)
    server.kill()
    with pytest.raises(StoreError):
        await joined(body.chunks)
    with pytest.raises(StoreUnavailable):
        await store.read("k")
    with pytest.raises(StoreUnavailable):
        await store.ping()
    server.start()
    assert len(await content(store, "k")) == LARGE * MIB


async def test_a_download_survives_a_restart_of_the_server(server: S3Server) -> None:
    store = ObjectStore(bucket(server, "p", retries=20, retry_for_s=30))
    sent = await upload(store, "k", LARGE)
    body = await store.read("k")
    first = await anext(body.chunks)
    server.kill()
    reading = asyncio.create_task(joined(body.chunks))
    await asyncio.to_thread(server.start)
    assert hashlib.sha256(first + await reading).hexdigest() == sent


async def test_credentials_that_are_wrong(s3_server: S3Server) -> None:
    right = ObjectStore(bucket(s3_server, "p"))
    await put(right, "k", b"x")
    for wrong in ({"secret_access_key": "wrong-secret-0"}, {"access_key_id": "nobody"}):
        store = ObjectStore(bucket(s3_server, "p", **wrong))
        with structlog.testing.capture_logs() as lines:
            for attempt in (store.ping(), store.read("k"), put(store, "k"), store.delete("k")):
                with pytest.raises(StoreUnavailable):
                    await attempt
        assert len(lines) >= 4
        assert "wrong-secret-0" not in repr(lines)
        assert s3_server.SECRET not in repr(lines)
    assert await content(right, "k") == b"x"


async def test_a_bucket_that_is_not_there(s3_server: S3Server) -> None:
    store = ObjectStore(replace(bucket(s3_server), url="s3://nosuch"))
    for attempt in (store.ping(), put(store, "k"), upload(store, "k", 12)):
        with pytest.raises(StoreUnavailable):
            await attempt


def attempts(store: ObjectStore) -> list[Awaitable[object]]:
    return [
        store.ping(),
        store.head("k"),
        content(store, "k"),
        content(store, "k", 1, 5),
        put(store, "k"),
        upload(store, "k", 12),
        store.delete("k"),
        store.page("k"),
    ]


@pytest.mark.parametrize("behaviour", [bad_s3.silent, bad_s3.deaf])
async def test_a_server_that_says_nothing(behaviour: bad_s3.Behaviour) -> None:
    async with bad_server(behaviour) as url:
        for attempt in attempts(impatient(url)):
            async with loop_time() as clock:
                with pytest.raises(StoreUnavailable):
                    await attempt
                assert clock.seconds < 20


async def test_a_server_that_is_not_there() -> None:
    for attempt in attempts(impatient(f"http://127.0.0.1:{free_port()}")):
        with pytest.raises(StoreUnavailable):
            await attempt


@pytest.mark.parametrize("behaviour", [bad_s3.short, bad_s3.stalling])
async def test_a_body_that_is_not_whole(behaviour: bad_s3.Behaviour) -> None:
    async with bad_server(behaviour) as url:
        assert await got_before(StoreError, impatient(url)) < 1000


async def test_a_server_without_room() -> None:
    async with bad_server(bad_s3.full) as url:
        for attempt in (put(impatient(url), "k"), upload(impatient(url), "k", 12)):
            with pytest.raises(StoreFull):
                await attempt


async def test_bytes_that_have_changed(s3_server: S3Server) -> None:
    store = ObjectStore(bucket(s3_server, "rot"))
    data = PIECE * 3
    await put(store, "k", data, hashlib.sha256(data).hexdigest())
    file = s3_server.objects / "rot" / "k"
    file.write_bytes(data[:-1] + b"!")
    assert await got_before(BrokenObject, store) < len(data)
    file.write_bytes(data[:-1])
    with pytest.raises(BrokenObject):
        await content(store, "k")


async def test_many_uploads_and_downloads_at_once(s3_server: S3Server) -> None:
    store = ObjectStore(bucket(s3_server))
    sent = await asyncio.gather(*(upload(store, f"k/{n}", 6) for n in range(8)))
    got = await asyncio.gather(*(digest_of(store, f"k/{n}") for n in range(8)))
    assert got == [(6 * MIB, each) for each in sent]
