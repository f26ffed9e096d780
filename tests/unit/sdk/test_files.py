"""Single operations on files, and copying to and fro with a chunk in memory at a time."""

import os
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from scaibunker.sdk import (
    AsyncClient,
    Client,
    Conflict,
    ConnectionFailed,
    Files,
    InvalidArgument,
    NotFound,
    ResponseInvalid,
    StreamBroken,
    TransferFailed,
)
from scaibunker.sdk.transfers import CHUNK_BYTES
from tests.unit.sdk.fake_api import FakeApi, FakeFile
from tests.unit.sdk.fake_transport import OCTETS, Pieces, refused, streamed


def test_write_and_read(api: FakeApi, files: Files) -> None:
    assert files.write("/home/bunker/a b&c.txt", "é", mode=0o600).size == 2
    assert files.read("/home/bunker/a b&c.txt") == "é".encode()
    (seen,) = api.requests("PUT")
    assert seen.params == {"path": "/home/bunker/a b&c.txt", "user": "bunker", "mode": "0600"}
    assert seen.headers["content-length"] == "2"


def test_write_empty(api: FakeApi, files: Files) -> None:
    assert files.write("/a", b"").size == 0
    assert api.requests("PUT")[0].headers["content-length"] == "0"


def test_parts(api: FakeApi, files: Files) -> None:
    api.files["/a"] = FakeFile(b"0123456789")
    with files.stream("/a", offset=2, length=3) as chunks:
        assert b"".join(chunks) == b"234"
    with files.stream("/a", offset=8) as chunks:
        assert b"".join(chunks) == b"89"
    with pytest.raises(InvalidArgument), files.stream("/a", offset=-1):
        pass
    with pytest.raises(InvalidArgument), files.stream("/a", length=0):
        pass
    api.transport.faults.append(lambda _: streamed([b"0123456789"], OCTETS))
    with pytest.raises(ResponseInvalid, match="whole instead"), files.stream("/a", offset=2):
        pass


def test_a_read_that_is_cut_short_is_an_error(api: FakeApi, files: Files) -> None:
    api.transport.faults.append(lambda _: streamed([b"012", httpx.ReadError("reset")], OCTETS))
    with pytest.raises(StreamBroken):
        files.read("/a")


def test_a_read_without_length_is_an_error(api: FakeApi, files: Files) -> None:
    api.transport.faults.append(lambda _: httpx.Response(200, stream=Pieces([b"012"])))
    with pytest.raises(ResponseInvalid, match="no length"):
        files.read("/a")


def test_a_read_has_a_limit(api: FakeApi, files: Files) -> None:
    api.files["/a"] = FakeFile(b"x" * 11)
    assert files.read("/a", limit=11) == b"x" * 11
    with pytest.raises(TransferFailed, match="more than 10 bytes"):
        files.read("/a", limit=10)


def test_list_stat_mkdir_move_delete(api: FakeApi, files: Files) -> None:
    for name in "cab":
        files.write(f"/d/{name}", name)
    assert [entry.name for entry in files.list("/d", recursive=True, page_size=2)] == [
        "a",
        "b",
        "c",
    ]
    assert api.requests("GET", "/list")[0].params["recursive"] == "true"
    assert files.stat("/d/a").size == 1
    assert files.mkdir("/d/e", mode=0o700).mode == "0700"
    assert files.move("/d/a", "/d/z", overwrite=False).path == "/d/z"
    files.delete("/d/z", recursive=True)
    with pytest.raises(NotFound, match="FILE_NOT_FOUND"):
        files.stat("/d/z")
    with pytest.raises(InvalidArgument, match="mode"):
        files.mkdir("/d", mode=-1)


def test_what_may_be_repeated(api: FakeApi, files: Files) -> None:
    lost = httpx.ReadError("reset")
    api.transport.faults.append(lost)
    files.write("/a", "x")  # replacing a file twice is replacing it
    api.transport.faults.append(lost)
    files.mkdir("/d")
    for operation in (lambda: files.delete("/a"), lambda: files.move("/a", "/b")):
        api.transport.faults.append(lost)
        with pytest.raises(ConnectionFailed):  # a second try would say that it is not there
            operation()


def test_an_iterable_is_not_sent_again(api: FakeApi, files: Files) -> None:
    def taken(seen: object) -> httpx.Response:
        raise httpx.ReadError("reset")

    api.transport.faults.append(taken)
    with pytest.raises(ConnectionFailed):
        files.write("/a", iter([b"x", b"y"]))
    assert len(api.requests("PUT")) == 1


def test_an_iterable_that_was_not_touched_is_sent(api: FakeApi, files: Files) -> None:
    class Refusing(httpx.BaseTransport):
        def __init__(self) -> None:
            self.left = 1

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if self.left:
                self.left -= 1
                raise httpx.ConnectError("refused")
            return api.transport.handle_request(request)

    api.add_bunker()
    client = Client("http://localhost", "sgk_test", http_transport=Refusing())
    client._transport._sleep = lambda _: None
    client.files("bnk_1").write("/a", iter([b"x", b"y"]))
    assert api.files["/a"].content == b"xy"
    assert "content-length" not in api.requests("PUT")[0].headers


def test_an_iterable_that_fails_is_not_taken_for_a_whole_file(api: FakeApi, files: Files) -> None:
    def content() -> Iterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        files.write("/a", content())
    assert "/a" not in api.files


def test_a_big_upload_streams(api: FakeApi, files: Files, tmp_path: Path) -> None:
    size = 64 * 1024 * 1024
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(size)
    told: list[tuple[str, int, int | None]] = []
    tracemalloc.start()
    try:
        entry = files.upload_file(big, "/big", on_progress=lambda *args: told.append(args))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    (seen,) = api.requests("PUT")
    assert entry.size == sum(seen.chunks) == size
    assert max(seen.chunks) <= CHUNK_BYTES
    assert seen.headers["content-length"] == str(size)
    assert peak < 8 * 1024 * 1024
    assert told[-1] == ("/big", size, size)


def test_a_big_download_streams(api: FakeApi, files: Files, tmp_path: Path) -> None:
    api.files["/big"] = FakeFile(b"", mode="0640")
    chunk = os.urandom(65536)
    content = streamed((chunk for _ in range(1000)), OCTETS)
    stat = api.transport.handler
    api.transport.faults.extend([stat, lambda _: content])
    tracemalloc.start()
    try:
        assert files.download_file("/big", tmp_path / "big") == 65_536_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024
    assert (tmp_path / "big").stat().st_size == 65_536_000


async def test_async_streams(api: FakeApi, aclient: AsyncClient, tmp_path: Path) -> None:
    files = aclient.files(api.add_bunker())
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    await files.upload_file(tmp_path / "a", "/a", mode=0o700)

    async def content() -> AsyncIterator[bytes]:
        yield b"x"
        yield b"y"

    await files.write("/b", content())
    assert await files.read("/b") == b"xy"
    await files.download_file("/a", tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == b"abc" * 100_000
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o700
    summary = await files.upload_directory(tmp_path, "/d")
    assert summary.files == 2
    assert [entry.name async for entry in files.list("/d")] == ["a", "c"]
    await files.download_directory("/d", tmp_path / "e")
    assert (tmp_path / "e" / "c").read_bytes() == b"abc" * 100_000


def test_an_upload_keeps_the_mode_and_is_repeated(
    api: FakeApi, files: Files, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o4750)
    api.transport.faults.append(httpx.ReadError("reset"))
    files.upload_file(script, "/script", user="root")
    assert api.files["/script"] == FakeFile(b"#!/bin/sh\n", mode="0750")
    assert len(api.requests("PUT")) == 2


def test_a_file_that_shrinks_while_it_is_sent_is_an_error(
    api: FakeApi, files: Files, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (2 * CHUNK_BYTES))
    with pytest.raises(TransferFailed, match="became shorter"):
        files.upload_file(path, "/log", on_progress=lambda *_: os.truncate(path, 10))
    assert "/log" not in api.files


def test_a_file_that_grows_is_sent_as_it_was(api: FakeApi, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * CHUNK_BYTES)

    def grow(*_: object) -> None:
        with path.open("ab") as file:
            file.write(b"y")

    assert files.upload_file(path, "/log", on_progress=grow).size == CHUNK_BYTES


def test_what_cannot_be_uploaded(api: FakeApi, files: Files, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, why in [
        (tmp_path, "not a regular file"),
        (tmp_path / "fifo", "not a regular file"),
        (tmp_path / "missing", "cannot read .*missing"),
    ]:
        with pytest.raises(TransferFailed, match=why):
            files.upload_file(path, "/a")
    with pytest.raises(TransferFailed, match=r"cannot read .*missing"):
        files.upload_directory(tmp_path / "missing", "/a")
    assert api.transport.seen == []


def test_a_refused_upload_says_why(api: FakeApi, files: Files, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    api.transport.faults.append(lambda _: refused(409, "FILE_IS_DIRECTORY", "it is a directory"))
    with pytest.raises(Conflict, match="FILE_IS_DIRECTORY"):
        files.upload_file(tmp_path / "a", "/tmp")


def test_upload_directory(api: FakeApi, files: Files, tmp_path: Path) -> None:
    root = tmp_path / "src"
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "sub").chmod(0o750)
    (root / "a").write_text("a")
    (root / "sub" / "b").write_text("bb")
    (root / "inside").symlink_to("sub/b")
    (root / "outside").symlink_to("/etc/passwd")
    (root / "up").symlink_to("../secret")
    (tmp_path / "secret").write_text("key")
    (root / "folder").symlink_to("sub")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    (root / os.fsdecode(b"\xff")).write_text("?")
    summary = files.upload_directory(root, "/dst")
    assert {path: file.type for path, file in api.files.items()} == {
        "/dst": "directory",
        "/dst/a": "file",
        "/dst/inside": "file",
        "/dst/sub": "directory",
        "/dst/sub/b": "file",
        "/dst/sub/empty": "directory",
    }
    assert api.files["/dst/sub"].mode == "0750"
    assert api.files["/dst/inside"].content == b"bb"
    assert (summary.files, summary.bytes, summary.skipped_count) == (3, 5, 6)
    reasons = {Path(skipped.path).name: skipped.reason for skipped in summary.skipped}
    assert reasons == {
        "outside": "a symbolic link that leads out of the directory",
        "up": "a symbolic link that leads out of the directory",
        "folder": "a symbolic link that is not to a regular file",
        "loop": "a symbolic link that leads nowhere",
        "fifo": "not a regular file",
        os.fsdecode(b"\xff"): "its name is not UTF-8",
    }
