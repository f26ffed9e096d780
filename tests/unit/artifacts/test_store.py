"""The cache: whole or not at all, whoever dies, however many build at once."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scaibunker.artifacts.records import ArtifactsError
from scaibunker.artifacts.store import Built, Store, key_of


class Builder:
    """Writes one file, and counts how often it was asked to."""

    def __init__(self, content: bytes = b"content", mode: int = 0o600) -> None:
        self.calls = 0
        self.content = content
        self.mode = mode

    def __call__(self, scratch: Path) -> Built:
        self.calls += 1
        assert list(scratch.iterdir()) == []
        path = scratch / "made"
        path.write_bytes(self.content)
        path.chmod(self.mode)
        return Built({"file": path}, {"version": "1"})


def leftovers(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if p.is_file() and p.parent.name not in {"objects", "locks"}]


def test_it_is_built_once_and_found_again(tmp_path: Path) -> None:
    store, builder = Store(tmp_path), Builder()
    first = store.build("kind", "key", builder)
    assert store.build("kind", "key", builder) == first
    assert Store(tmp_path).find("kind", "key") == first
    assert builder.calls == 1
    assert first.files["file"].path.read_bytes() == b"content"
    assert first.notes == {"version": "1"}


def test_refresh_builds_again_and_keeps_the_old_object(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old = store.build("kind", "key", Builder(b"old")).files["file"]
    new = store.build("kind", "key", Builder(b"new"), refresh=True).files["file"]
    assert old.path.read_bytes() == b"old"  # a running machine may have it open by name
    assert store.find("kind", "key").files["file"] == new  # type: ignore[union-attr]


def test_equal_content_is_stored_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.build("kind", "a", Builder())
    store.build("kind", "b", Builder())
    assert len(list((tmp_path / "objects").iterdir())) == 1


@pytest.mark.parametrize(("mode", "expected"), [(0o600, 0o644), (0o700, 0o755)])
def test_objects_can_be_read_by_all(tmp_path: Path, mode: int, expected: int) -> None:
    cache = tmp_path / "cache"
    umask = os.umask(0o077)
    try:
        path = Store(cache).build("kind", "key", Builder(mode=mode)).files["file"].path
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == expected
    assert [p.stat().st_mode & 0o055 for p in (cache, cache / "objects")] == [0o055, 0o055]


def test_a_builder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(scratch: Path) -> Built:
        (scratch / "half").write_bytes(b"half")
        raise ArtifactsError("no network")

    with pytest.raises(ArtifactsError, match="no network"):
        store.build("kind", "key", fail)
    assert store.find("kind", "key") is None
    assert leftovers(tmp_path) == []
    assert store.build("kind", "key", Builder()).notes == {"version": "1"}


def test_what_a_dead_builder_left_is_swept_away(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch" / "kind-key"
    scratch.mkdir(parents=True)
    (scratch / "half").write_bytes(b"half")
    Store(tmp_path).build("kind", "key", Builder())  # asserts that its scratch is empty
    assert leftovers(tmp_path / "scratch") == []


@pytest.mark.parametrize("damage", [b"", b"conten", b"contents"])
def test_a_file_of_another_size_is_not_taken(tmp_path: Path, damage: bytes) -> None:
    store, builder = Store(tmp_path), Builder()
    path = store.build("kind", "key", builder).files["file"].path
    path.write_bytes(damage)
    assert store.find("kind", "key") is None
    store.build("kind", "key", builder)
    assert path.read_bytes() == b"content"


def test_a_changed_byte_is_found_when_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.build("kind", "key", Builder()).files["file"].path
    path.write_bytes(b"CONTENT")
    assert store.find("kind", "key") is not None
    assert store.find("kind", "key", verify=True) is None


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "{",
        "[]",
        '{"files": {}}',
        '{"files": {"f": {"sha256": "../../x", "size": 1}}, "notes": {}}',
    ],
)
def test_a_broken_ref_is_as_good_as_none(tmp_path: Path, ref: str) -> None:
    store = Store(tmp_path)
    store.build("kind", "key", Builder())
    (tmp_path / "refs" / "kind" / "key.json").write_text(ref)
    assert store.find("kind", "key") is None


def test_pruning_keeps_what_is_named_and_what_it_came_with(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def two(scratch: Path) -> Built:
        for name in ("kernel", "module"):
            (scratch / name).write_bytes(name.encode())
        return Built({name: scratch / name for name in ("kernel", "module")}, {})

    kept = store.build("kernel", "key", two)
    old = store.build("image", "old", Builder(b"old")).files["file"]
    store.build("image", "shared", Builder(b"kernel"))
    keep = {kept.files["kernel"].sha256}
    assert store.prune(keep, older_than_s=3600) == 0
    assert old.path.exists()  # too young to go
    assert store.prune(keep, older_than_s=-1) > 0
    assert not old.path.exists()
    assert store.find("image", "old") is None
    assert store.find("kernel", "key", verify=True) == kept
    assert store.find("image", "shared", verify=True) is not None


def test_many_at_once_build_it_once(tmp_path: Path) -> None:
    together = threading.Barrier(6)
    builder = Builder()

    def one(_: int) -> str:
        together.wait(timeout=30)
        return Store(tmp_path).build("kind", "key", builder).files["file"].sha256

    with ThreadPoolExecutor(max_workers=6) as pool:
        assert len(set(pool.map(one, range(6)))) == 1
    assert builder.calls == 1


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactsError, match=str(tmp_path / "file" / "cache")):
        Store(tmp_path / "file" / "cache").build("kind", "key", Builder())


def test_documents_are_replaced_whole(tmp_path: Path) -> None:
    store = Store(tmp_path / "new")
    assert store.read_document("manifest.json") is None
    store.write_document("manifest.json", {"a": 1})
    store.write_document("manifest.json", {"a": 2})
    assert store.read_document("manifest.json") == {"a": 2}
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["manifest.json"]
    with pytest.raises(TypeError):
        store.write_document("manifest.json", {"a": object()})
    assert store.read_document("manifest.json") == {"a": 2}


def test_keys_depend_on_every_input_and_not_on_order() -> None:
    assert key_of(a=1, b=2) == key_of(b=2, a=1)
    assert len({key_of(a=1), key_of(a=2), key_of(b=1), key_of(a=[1]), key_of()}) == 5
