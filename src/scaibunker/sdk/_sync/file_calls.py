# Generated from _async/file_calls.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""Single operations on a bunker's files. Paths are absolute; `user` is whose rights count.

Copying between this machine and the bunker is `files`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from scaibunker.sdk import _calls
from scaibunker.sdk._calls import Call, bunker_path
from scaibunker.sdk._sync.transport import Body, Transport
from scaibunker.sdk.errors import InvalidArgument, TransferFailed
from scaibunker.wire.api.execs import User
from scaibunker.wire.api.files import FileEntry, MkdirRequest, MoveRequest

READ_LIMIT = 64 * 1024 * 1024
"""Bytes that `read` takes into memory unless told otherwise."""


class FileCalls:
    """The files of one bunker."""

    def __init__(self, transport: Transport, bunker_id: str) -> None:
        self._transport = transport
        self._bunker_id = _calls.checked_id("bunker id", bunker_id)

    def read(self, path: str, *, user: User = "bunker", limit: int = READ_LIMIT) -> bytes:
        """A file's bytes. More than `limit` of them raise `TransferFailed`: use `stream`."""
        content = bytearray()
        with self.stream(path, user=user) as chunks:
            for chunk in chunks:
                content += chunk
                if len(content) > limit:
                    raise TransferFailed(
                        f"{path} has more than {limit} bytes", hint="read it with `stream`"
                    )
        return bytes(content)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        offset: int = 0,
        length: int | None = None,
        user: User = "bunker",
    ) -> Iterator[Iterator[bytes]]:
        """A file's bytes, chunk by chunk; of `length` bytes from `offset` on, or all."""
        call = Call(
            "GET",
            self._path(),
            {"path": path, "user": user},
            headers=_range(offset, length),
            repeatable=True,
        )
        with self._transport.raw(call) as chunks:
            yield chunks

    def write(
        self,
        path: str,
        content: str | bytes | Iterable[bytes],
        *,
        mode: int | None = None,
        user: User = "bunker",
    ) -> FileEntry:
        """Write a whole file, atomically; directories above it are made.

        `mode` are permission bits; if not given, a file that is there keeps its own, and a new one has 0o644. An iterable of chunks streams with bounded
        memory, and is not sent again if the connection is lost.
        """
        if isinstance(content, str):
            content = content.encode()
        if isinstance(content, bytes):
            return self._put(path, _whole(content), len(content), mode, user)
        return self._put(path, _once(content), None, mode, user)

    def stat(self, path: str, *, user: User = "bunker") -> FileEntry:
        """What is at a path; of a link, the link itself."""
        call = _calls.get(self._path("stat"), path=path, user=user)
        return self._transport.record(call, FileEntry)

    def list(
        self,
        path: str,
        *,
        recursive: bool = False,
        user: User = "bunker",
        page_size: int | None = None,
    ) -> Iterator[FileEntry]:
        """What is in a directory, sorted by path; pages are fetched as they are needed."""
        call = _calls.get(
            self._path("list"), path=path, recursive=recursive, user=user, limit=page_size
        )
        yield from self._transport.pages(call, FileEntry)

    def mkdir(self, path: str, *, mode: int = 0o755, user: User = "bunker") -> FileEntry:
        """Make a directory and the missing ones above it. One that exists is no error."""
        fields = {"path": path, "mode": _octal(mode), "user": user}
        call = Call(
            "POST", self._path("mkdir"), body=_calls.body(MkdirRequest, fields), repeatable=True
        )
        return self._transport.record(call, FileEntry)

    def move(
        self, source: str, destination: str, *, overwrite: bool = True, user: User = "bunker"
    ) -> FileEntry:
        """Rename. Without `overwrite`, something at `destination` raises `Conflict`."""
        fields = {
            "source": source,
            "destination": destination,
            "overwrite": overwrite,
            "user": user,
        }
        call = Call("POST", self._path("move"), body=_calls.body(MoveRequest, fields))
        return self._transport.record(call, FileEntry)

    def delete(self, path: str, *, recursive: bool = False, user: User = "bunker") -> None:
        """Delete a file or, with `recursive`, a directory and what is in it."""
        call = Call("DELETE", self._path(), {"path": path, "recursive": recursive, "user": user})
        self._transport.done(call)

    def _put(
        self, path: str, body: Body, size: int | None, mode: int | None, user: User
    ) -> FileEntry:
        headers = {"Content-Type": "application/octet-stream"}
        if size is not None:
            headers["Content-Length"] = str(size)
        call = Call(
            "PUT",
            self._path(),
            {"path": path, "user": user, "mode": None if mode is None else _octal(mode)},
            headers=headers,
            repeatable=size is not None,
        )
        return self._transport.record(call, FileEntry, body)

    def _path(self, *rest: str) -> str:
        return bunker_path(self._bunker_id, "files", *rest)


def _whole(content: bytes) -> Body:
    def chunks() -> Iterator[bytes]:
        yield content

    return chunks


def _once(content: Iterable[bytes]) -> Body:
    """An iterable is there once: a second attempt must not send what is left of it."""
    used = False

    def chunks() -> Iterator[bytes]:
        nonlocal used
        if used:
            raise TransferFailed("the content was partly sent and cannot be sent again")
        for chunk in content:
            used = True
            yield chunk

    return chunks


def _range(offset: int, length: int | None) -> dict[str, str]:
    if offset < 0 or (length is not None and length < 1):
        raise InvalidArgument("offset: 0 or more, and length: 1 or more")
    if offset == 0 and length is None:
        return {}
    end = "" if length is None else str(offset + length - 1)
    return {"Range": f"bytes={offset}-{end}"}


def _octal(mode: int) -> str:
    if not 0 <= mode <= 0o7777:
        raise InvalidArgument(f"mode: 0 to 0o7777, got {mode:#o}")
    return f"{mode:04o}"
