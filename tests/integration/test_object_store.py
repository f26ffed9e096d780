"""Objects in a local directory, and in a bucket of a real server: the same is true of both."""

import asyncio
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scaibunker.storage.errors import KeyTaken, NoSuchObject
from scaibunker.storage.objects import ObjectStore
from tests.integration.buckets import MIB, bucket, content, put
from tests.servers import S3Server
from tests.waiting import until


@pytest.fixture
def local(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path}/with%20space")


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "local":
        made: ObjectStore = request.getfixturevalue("local")
        return made
    return ObjectStore(bucket(request.getfixturevalue("s3_server")))


async def test_an_object_is_written_in_pieces_and_read_back(store: ObjectStore) -> None:
    pieces = [bytes([n]) * 1_000_000 for n in range(12)]
    writer = store.write("a/b")
    for piece in pieces:
        await writer.write(piece)
    with pytest.raises(NoSuchObject):
        await store.size("a/b")
    await writer.close()
    whole = b"".join(pieces)
    assert writer.size == len(whole)
    assert await content(store, "a/b") == whole
    assert await content(store, "a/b", 999_999, 1_000_001) == b"\0\1"
    assert await content(store, "a/b", 11_999_999) == b"\x0b"
    assert await content(store, "a/b", 11_999_999, 99_999_999) == b"\x0b"
    assert await content(store, "a/b", 12_000_000) == b""
    assert await store.size("a/b") == len(whole)


async def test_a_file_is_where_the_url_says(local: ObjectStore, tmp_path: Path) -> None:
    await put(local, "a/b", b"seen")
    assert (tmp_path / "with space" / "a" / "b").read_bytes() == b"seen"


async def test_an_empty_object(store: ObjectStore) -> None:
    await store.write("nothing").close()
    assert await content(store, "nothing") == b""
    assert (await store.head("nothing")).size == 0


async def test_writing_again_replaces_all_or_nothing(store: ObjectStore) -> None:
    await put(store, "k", b"first, and longer")
    before = await store.head("k")
    writer = store.write("k")
    await writer.write(b"y" * 9_000_000)
    assert await content(store, "k") == b"first, and longer"
    await writer.discard()
    assert await content(store, "k") == b"first, and longer"
    await put(store, "k", b"second")
    assert await content(store, "k") == b"second"
    assert (await store.head("k")).e_tag != before.e_tag


@pytest.mark.parametrize("size", [10, 9_000_000])
async def test_an_object_whose_writing_breaks_off_does_not_appear(
    store: ObjectStore, size: int, tmp_path: Path, s3_server: S3Server
) -> None:
    before = s3_server.unfinished()
    writer = store.write("x")

    async def broken_off() -> None:
        async with writer:
            await writer.write(b"y" * size)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken_off()
    with pytest.raises(NoSuchObject):
        await store.size("x")
    await until(lambda: not [p for p in tmp_path.rglob("*") if p.is_file()])
    assert set(s3_server.unfinished()) <= set(before)
    with pytest.raises(ValueError, match="closed"):
        await writer.write(b"more")


async def test_what_is_not_there(store: ObjectStore) -> None:
    for start in (0, 5):
        with pytest.raises(NoSuchObject):
            await store.read("nope", start)
    with pytest.raises(NoSuchObject):
        await store.head("nope/at/all")
    await store.delete("nope")
    assert (await store.page("nope")).objects == []
    assert await store.delete_below("nope") == 0


async def test_listing_and_deleting_by_pages(store: ObjectStore) -> None:
    keys = [f"l/{group}/{n:02}" for group in "ab" for n in range(7)]
    for key in reversed([*keys, "l2/other", "l.txt"]):
        await put(store, key, key.encode())
    seen: list[str] = []
    after = None
    while True:
        page = await store.page("l", after, limit=4)
        assert len(page.objects) <= 4
        seen += [each.key for each in page.objects]
        if not page.has_more:
            break
        after = seen[-1]
    assert seen == keys
    assert [each.key async for each in store.list("l/b")] == keys[7:]
    assert {each.size async for each in store.list("l/b")} == {6}
    await store.delete("l/a/00", "l/a/00", "l/b/06")
    assert await store.delete_below("l/a") == 6
    assert [each.key async for each in store.list("l")] == keys[7:13]
    assert await content(store, "l2/other") == b"l2/other"


async def test_a_listing_of_more_than_a_page(store: ObjectStore) -> None:
    keys = [f"many/{n:04}" for n in range(1003)]
    turns = asyncio.Semaphore(16)

    async def make(key: str) -> None:
        async with turns, store.write(key):
            pass

    await asyncio.gather(*(make(key) for key in keys))
    assert [each.key async for each in store.list("many")] == keys
    assert await store.delete_below("many") == 1003
    assert not (await store.page("many")).objects


async def test_a_digest_is_kept_where_it_can_be(s3_server: S3Server) -> None:
    store = ObjectStore(bucket(s3_server))
    for size in (10, 6 * MIB):
        data = b"z" * size
        digest = hashlib.sha256(data).hexdigest()
        await put(store, "k", data, digest)
        assert (await store.head("k")).sha256 == digest
        assert await content(store, "k") == data
        assert (await store.read("k", 1, 5)).info.sha256 == digest


async def test_the_store_answers(store: ObjectStore) -> None:
    await store.ping()


@pytest.mark.parametrize("key", ["../out", "a/../../out"])
async def test_a_key_never_leaves_the_root(store: ObjectStore, key: str) -> None:
    with pytest.raises(ValueError, match="path"):
        store.write(key)
    with pytest.raises(ValueError, match="path"):
        await store.head(key)


async def test_a_directory_holds_no_object_below_another(local: ObjectStore) -> None:
    await put(local, "a/b")
    for key in ("a/b/c", "a"):
        with pytest.raises(KeyTaken):
            await put(local, key)
        with pytest.raises(NoSuchObject):
            await local.head(key)
    assert await content(local, "a/b") == b"x"


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """A file system of 1 MiB, in a mount namespace of its own."""
    script = """
import asyncio, os, sys
from scaibunker.storage.errors import StoreFull
from scaibunker.storage.objects import ObjectStore

async def main():
    store = ObjectStore(f"file://{sys.argv[1]}")
    try:
        async with store.write("k") as writer:
            for _ in range(8):
                await writer.write(b"x" * 2**20)
    except StoreFull:
        print("full, and left are", [files for _, _, files in os.walk(sys.argv[1]) if files])

asyncio.run(main())
"""
    mount = 'mount -t tmpfs -o size=1m none "$1" && exec "$0" -c "$2" "$1"'
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    done = subprocess.run(
        [*own, "sh", "-c", mount, sys.executable, str(tmp_path), script],
        capture_output=True,
        timeout=60,
    )
    assert done.stdout.endswith(b"full, and left are []\n"), done.stderr.decode()
