"""Objects in a local directory."""

from pathlib import Path

import pytest

from scaibunker.storage.objects import NoSuchObject, ObjectStore
from tests.waiting import until


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path}/with%20space")


async def content(store: ObjectStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    body = await store.read(key, start, end)
    return b"".join([bytes(chunk) async for chunk in body.chunks])


async def test_an_object_is_written_in_pieces_and_read_back(
    store: ObjectStore, tmp_path: Path
) -> None:
    pieces = [bytes([n]) * 1_000_000 for n in range(12)]
    file = store.write("a/b")
    for piece in pieces:
        await file.write(piece)
    await file.close()
    whole = b"".join(pieces)
    assert await content(store, "a/b") == whole
    assert await content(store, "a/b", 999_999, 1_000_001) == b"\0\1"
    assert await content(store, "a/b", 11_999_999) == b"\x0b"
    assert await store.size("a/b") == len(whole)
    assert (tmp_path / "with space" / "a" / "b").exists()


async def test_an_object_whose_writing_breaks_off_does_not_appear(
    store: ObjectStore, tmp_path: Path
) -> None:
    file = store.write("x")
    await file.write(b"y" * 9_000_000)
    del file
    with pytest.raises(NoSuchObject):
        await store.size("x")
    await until(lambda: not [p for p in tmp_path.rglob("*") if p.is_file()])


async def test_what_is_not_there(store: ObjectStore) -> None:
    for start in (0, 5):
        with pytest.raises(NoSuchObject):
            await store.read("nope", start)


@pytest.mark.parametrize("key", ["../out", "a/../../out"])
async def test_a_key_never_leaves_the_root(store: ObjectStore, key: str) -> None:
    with pytest.raises(ValueError, match="path"):
        store.write(key)
