"""Copying files and directories between this machine and a bunker, a chunk in memory at a time."""

import os
import posixpath
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from scaibunker.sdk._async.file_calls import AsyncFileCalls
from scaibunker.sdk._async.transport import AsyncBody
from scaibunker.sdk._runtime import acall
from scaibunker.sdk.errors import NotFound, PermissionDenied, TransferFailed
from scaibunker.sdk.local_source import OpenSource, SourceDirectory, SourceFile, opened, walk
from scaibunker.sdk.local_target import LocalTarget, link_stays_inside, parts_below, remote_join
from scaibunker.sdk.transfers import CHUNK_BYTES, Progress, TransferSummary, no_progress
from scaibunker.wire.api.execs import User
from scaibunker.wire.api.files import FileEntry


class AsyncFiles(AsyncFileCalls):
    """The files of one bunker."""

    async def upload_file(
        self,
        local: Path | str,
        path: str,
        *,
        user: User = "bunker",
        mode: int | None = None,
        on_progress: Progress = no_progress,
    ) -> FileEntry:
        """Copy a local file to `path`, atomically; `mode` is the local file's if not given."""
        with opened(Path(local)) as source:
            body = _file_body(source, path, on_progress)
            mode = source.mode if mode is None else mode
            return await self._put(path, body, source.size, mode, user)

    async def upload_directory(
        self,
        local: Path | str,
        path: str,
        *,
        user: User = "bunker",
        on_progress: Progress = no_progress,
    ) -> TransferSummary:
        """Copy what is in a local directory into the directory `path`, which is made.

        Links are followed to regular files within the directory; other links and special files are
        left out and named in the summary.
        """
        summary = TransferSummary()
        for entry in walk(Path(local)):
            remote = remote_join(path, entry.parts)
            if isinstance(entry, SourceDirectory):
                await self.mkdir(remote, mode=entry.mode, user=user)
            elif isinstance(entry, SourceFile):
                written = await self.upload_file(
                    entry.path, remote, user=user, on_progress=on_progress
                )
                summary.files += 1
                summary.bytes += written.size
            else:
                summary.skip(str(Path(local, *entry.parts)), entry.reason)
        return summary

    async def download_file(
        self,
        path: str,
        local: Path | str,
        *,
        user: User = "bunker",
        on_progress: Progress = no_progress,
    ) -> int:
        """Copy a file to the local path, which appears when it is complete; gives its bytes.

        Local directories above it are made.
        """
        entry = await self.stat(path, user=user)
        if entry.type not in ("file", "symlink"):
            raise TransferFailed(f"{path} is not a regular file but a {entry.type}")
        real = Path(os.path.realpath(local))  # the caller's own link is followed
        mode = _mode(entry) if entry.type == "file" else 0o644
        with LocalTarget(real.parent) as target, target.writing((real.name,), mode) as file:
            return await self._receive(path, file, user, on_progress)

    async def download_directory(
        self,
        path: str,
        local: Path | str,
        *,
        user: User = "bunker",
        on_progress: Progress = no_progress,
    ) -> TransferSummary:
        """Copy what is in a directory into the local directory, which is made.

        Nothing is ever written outside `local`: a name that would lead there raises `UnsafePath`.
        Links out of the directory, special files and files that vanish are left out and named in
        the summary.
        """
        summary = TransferSummary()
        root = posixpath.normpath(path)
        with LocalTarget(Path(local)) as target:
            async for entry in self.list(path, recursive=True, user=user):
                parts = parts_below(root, entry.path)
                if entry.type == "directory":
                    target.make_directory(parts, _mode(entry))
                elif entry.type == "symlink":
                    self._download_link(target, parts, entry, summary)
                elif entry.type == "file":
                    await self._download_one(target, parts, entry, user, on_progress, summary)
                else:
                    summary.skip(entry.path, f"a {entry.type}")
        return summary

    async def _download_one(
        self,
        target: LocalTarget,
        parts: tuple[str, ...],
        entry: FileEntry,
        user: User,
        on_progress: Progress,
        summary: TransferSummary,
    ) -> None:
        try:
            with target.writing(parts, _mode(entry)) as file:
                summary.bytes += await self._receive(entry.path, file, user, on_progress)
        except NotFound:
            summary.skip(entry.path, "it is no longer there")
        except PermissionDenied:
            summary.skip(entry.path, "permission denied")
        else:
            summary.files += 1

    def _download_link(
        self,
        target: LocalTarget,
        parts: tuple[str, ...],
        entry: FileEntry,
        summary: TransferSummary,
    ) -> None:
        if entry.target is not None and link_stays_inside(parts, entry.target):
            target.make_link(parts, entry.target)
        else:
            summary.skip(entry.path, "a symbolic link that leads out of the directory")

    async def _receive(self, path: str, file: BinaryIO, user: User, on_progress: Progress) -> int:
        done = 0
        async with self.stream(path, user=user) as chunks:
            async for chunk in chunks:
                await acall(file.write, chunk)
                done += len(chunk)
                on_progress(path, done, None)
        return done


def _file_body(source: OpenSource, path: str, on_progress: Progress) -> AsyncBody:
    async def chunks() -> AsyncIterator[bytes]:
        await acall(source.rewind)
        done = 0
        while done < source.size:
            chunk = await acall(source.read, min(CHUNK_BYTES, source.size - done))
            done += len(chunk)
            yield chunk
            on_progress(path, done, source.size)

    return chunks


def _mode(entry: FileEntry) -> int:
    """Permission bits of an entry; the rest of what a bunker says is not taken over."""
    try:
        return int(entry.mode, 8) & 0o777
    except ValueError:
        return 0o644 if entry.type == "file" else 0o755
