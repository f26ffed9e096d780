"""Downloads: what a bunker calls its files must never lead outside the local target."""

import os
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaibunker.sdk import Files, StreamBroken, TransferFailed, UnsafePath
from scaibunker.sdk.local_target import LocalTarget, link_stays_inside, parts_below
from scaibunker.sdk.transfers import MAX_SKIPPED
from tests.unit.sdk.fake_api import FakeApi, FakeFile, file_entry
from tests.unit.sdk.fake_transport import OCTETS, ok, streamed


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The only place that may be written to; around it lie things that must not change."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_text("untouched")
    return tmp_path / "target"


def unchanged(target: Path) -> bool:
    around = sorted(path.name for path in target.parent.iterdir() if path != target)
    inside = sorted(path.name for path in (target.parent / "outside").iterdir())
    text = (target.parent / "outside" / "x").read_text()
    return (around, inside, text) == (["outside"], ["x"], "untouched")


def test_download_directory(api: FakeApi, files: Files, target: Path) -> None:
    api.files.update(
        {
            "/src/a": FakeFile(b"aaaa", mode="4755"),
            "/src/empty": FakeFile(type="directory", mode="0500"),
            "/src/link": FakeFile(type="symlink", target="sub/b"),
            "/src/sub": FakeFile(type="directory", mode="0700"),
            "/src/sub/b": FakeFile(b"bb", mode="0600"),
            "/src/sub/up": FakeFile(type="symlink", target="../a"),
            "/src/sub/zz": FakeFile(type="symlink", target="/etc/passwd"),
            "/src/tty": FakeFile(type="char_device"),
        }
    )
    summary = files.download_directory("/src/", target)
    found = sorted(str(path.relative_to(target)) for path in target.rglob("*"))
    assert found == ["a", "empty", "link", "sub", "sub/b", "sub/up"]
    assert (target / "link").read_text() == "bb"
    assert (target / "sub" / "up").read_text() == "aaaa"
    assert (target / "a").stat().st_mode & 0o7777 == 0o755
    assert (target / "sub" / "b").stat().st_mode & 0o7777 == 0o600
    assert (summary.files, summary.bytes) == (2, 6)
    assert [(skipped.path, skipped.reason) for skipped in summary.skipped] == [
        ("/src/sub/zz", "a symbolic link that leads out of the directory"),
        ("/src/tty", "a char_device"),
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        "/src/../outside/x",
        "/src/../../outside/x",
        "/src/sub/../../../outside/x",
        "/src/..",
        "/src/.",
        "/src/",
        "/src//etc/x",
        "/src",
        "/outside/x",
        "outside/x",
        "../outside/x",
        "/src-other/x",
        "/src/a\0b",
        "",
    ],
)
@pytest.mark.parametrize("kind", ["file", "directory", "symlink"])
def test_a_hostile_listing_writes_nothing(
    api: FakeApi, files: Files, target: Path, hostile: str, kind: str
) -> None:
    entry = {**file_entry("/src/x", FakeFile(b"evil", type=kind, target="a")), "path": hostile}
    api.transport.faults.append(lambda _: ok([entry], has_more=False))
    with pytest.raises(UnsafePath):
        files.download_directory("/src", target)
    assert unchanged(target)
    assert list(target.iterdir()) == []


def test_the_name_that_an_entry_gives_itself_does_not_matter(
    api: FakeApi, files: Files, target: Path
) -> None:
    entry = {**file_entry("/src/x", FakeFile(b"1234")), "name": "../outside/x"}
    api.transport.faults.append(lambda _: ok([entry], has_more=False))
    api.transport.faults.append(lambda _: streamed([b"1234"], OCTETS))
    files.download_directory("/src", target)
    assert [path.name for path in target.iterdir()] == ["x"]
    assert unchanged(target)


@pytest.mark.parametrize("link", ["../outside", "/", "a/../../outside", "..", ""])
def test_a_link_and_then_a_file_through_it(
    api: FakeApi, files: Files, target: Path, link: str
) -> None:
    api.files["/src/a"] = FakeFile(type="symlink", target=link)
    api.files["/src/a/x"] = FakeFile(b"evil")
    files.download_directory("/src", target)  # the link is left out, so `a` is a new directory
    assert unchanged(target)
    assert (target / "a" / "x").read_bytes() == b"evil"
    assert not (target / "a").is_symlink()


def test_a_file_through_a_link_that_points_inside(api: FakeApi, files: Files, target: Path) -> None:
    api.files["/src/a"] = FakeFile(type="symlink", target="b")
    api.files["/src/a/x"] = FakeFile(b"evil")
    with pytest.raises(UnsafePath, match="is a file or a link"):
        files.download_directory("/src", target)


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_link_that_lay_there_before_is_not_followed(
    api: FakeApi, files: Files, target: Path, kind: str
) -> None:
    target.mkdir()
    (target / "sub").symlink_to("../outside")
    api.files["/src/sub"] = FakeFile(type="directory")
    api.files["/src/sub/y"] = FakeFile(b"evil", type=kind)
    with pytest.raises(UnsafePath):
        files.download_directory("/src", target)
    assert unchanged(target)


def test_a_link_in_a_files_place_is_replaced_not_followed(
    api: FakeApi, files: Files, target: Path
) -> None:
    target.mkdir()
    (target / "x").symlink_to("../outside/x")
    api.files["/src/x"] = FakeFile(b"new!")
    files.download_directory("/src", target)
    assert unchanged(target)
    assert not (target / "x").is_symlink()


def test_a_device_is_not_replaced(api: FakeApi, files: Files, target: Path) -> None:
    target.mkdir()
    os.mkfifo(target / "x")
    api.files["/src/x"] = FakeFile(b"new!")
    with pytest.raises(TransferFailed, match="not a regular file"):
        files.download_directory("/src", target)
    with pytest.raises(TransferFailed, match="not a regular file"):
        files.download_file("/src/x", target / "x")
    assert (target / "x").is_fifo()


def test_files_that_vanish_are_named(api: FakeApi, files: Files, target: Path) -> None:
    entries = [file_entry(f"/src/{name}", FakeFile()) for name in "ab"]
    api.files["/src/b"] = FakeFile(b"still here")
    api.transport.faults.append(lambda _: ok(entries, has_more=False))
    summary = files.download_directory("/src", target)
    assert [skipped.path for skipped in summary.skipped] == ["/src/a"]
    assert [path.name for path in target.iterdir()] == ["b"]


def test_a_broken_download_leaves_the_old_file_and_no_part(
    api: FakeApi, files: Files, target: Path
) -> None:
    target.mkdir()
    (target / "a").write_text("old")
    api.files["/src/a"] = FakeFile(b"new!")

    def broken(_: object) -> httpx.Response:
        return streamed([b"ne", httpx.ReadError("reset")], OCTETS)

    api.transport.faults.extend([api.transport.handler, broken])
    with pytest.raises(StreamBroken):
        files.download_directory("/src", target)
    api.transport.faults.extend([api.transport.handler, broken])
    with pytest.raises(StreamBroken):
        files.download_file("/src/a", target / "a")
    assert [path.name for path in target.iterdir()] == ["a"]
    assert (target / "a").read_text() == "old"


def test_local_trouble_is_told_as_such(api: FakeApi, files: Files, target: Path) -> None:
    (target / "a").mkdir(parents=True)
    api.files["/src/a"] = FakeFile(b"new!")
    with pytest.raises(TransferFailed, match=r"cannot write .*target/a"):
        files.download_directory("/src", target)
    assert [path.name for path in target.iterdir()] == ["a"]
    with pytest.raises(TransferFailed, match="cannot write"):
        files.download_directory("/src", target.parent / "outside" / "x")


def test_download_file_follows_the_callers_own_link(
    api: FakeApi, files: Files, target: Path
) -> None:
    target.mkdir()
    (target / "mine").symlink_to("real")
    api.files["/a"] = FakeFile(b"abcd", mode="0600")
    assert files.download_file("/a", target / "mine") == 4
    assert (target / "mine").is_symlink()
    assert (target / "real").read_bytes() == b"abcd"


def test_download_file_wants_a_file(api: FakeApi, files: Files, target: Path) -> None:
    api.files["/d"] = FakeFile(type="directory")
    with pytest.raises(TransferFailed, match="but a directory"):
        files.download_file("/d", target)
    api.files["/l"] = FakeFile(b"4444", type="symlink", target="x", mode="0777")
    files.download_file("/l", target / "l")
    assert (target / "l").stat().st_mode & 0o777 == 0o644


def test_what_is_skipped_is_bounded(api: FakeApi, files: Files, target: Path) -> None:
    entries = [
        file_entry(f"/src/{number}", FakeFile(type="fifo")) for number in range(MAX_SKIPPED + 5)
    ]
    api.transport.faults.append(lambda _: ok(entries, has_more=False))
    summary = files.download_directory("/src", target)
    assert (summary.skipped_count, len(summary.skipped)) == (MAX_SKIPPED + 5, MAX_SKIPPED)


def test_nonsense_modes_are_not_taken_over(api: FakeApi, files: Files, target: Path) -> None:
    api.files["/src/a"] = FakeFile(b"aaaa", mode="rwx")
    api.files["/src/d"] = FakeFile(type="directory", mode="")
    files.download_directory("/src", target)
    assert (target / "a").stat().st_mode & 0o777 == 0o644


NAMES = st.text(alphabet="ab./\0\n~", max_size=8)


@given(NAMES)
def test_whatever_the_name_the_parts_are_plain(name: str) -> None:
    try:
        parts = parts_below("/src", f"/src/{name}")
    except UnsafePath:
        return
    assert parts
    assert not {"", ".", ".."} & set(parts)
    assert not any("/" in part or "\0" in part for part in parts)


STEPS = st.lists(st.sampled_from(["..", ".", "a", "b", "up"]), min_size=1, max_size=5)


@given(
    st.lists(STEPS, min_size=1, max_size=4),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3),
)
def test_links_that_are_made_never_lead_out(
    tmp_path_factory: pytest.TempPathFactory, targets: list[list[str]], parts: list[str]
) -> None:
    root = tmp_path_factory.mktemp("root")
    made = []
    with LocalTarget(root) as target:
        for number, steps in enumerate(targets):
            place = (*parts[:number], f"up{number or ''}")
            text = "/".join(steps)
            if link_stays_inside(place, text):
                target.make_link(place, text)
                made.append(root.joinpath(*place))
            else:
                with pytest.raises(UnsafePath):
                    target.make_link(place, text)
    for link in made:
        assert Path(os.path.realpath(link)).is_relative_to(root)  # a loop leads nowhere
