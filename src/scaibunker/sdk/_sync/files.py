# Generated from _async/files.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""Copying files and directories between this machine and a bunker, a chunk in memory at a time."""

import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from scaibunker.sdk._runtime import call
from scaibunker.sdk._sync.file_calls import FileCalls
from scaibunker.sdk._sync.transport import Body
from scaibunker.sdk.errors import NotFound, PermissionDenied, TransferFailed
from scaibunker.sdk.local_source import OpenSource, SourceDirectory, SourceFile, opened, walk
from scaibunker.sdk.local_target import LocalTarget, link_stays_inside, parts_below, remote_join
from scaibunker.sdk.transfers import CHUNK_BYTES, Progress, TransferSummary, no_progress
from scaibunker.wire.api.execs import User
from scaibunker.wire.api.files import FileEntry


class Files(FileCalls):
    """The files of one bunker."""

    def upload_file(
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
            return self._put(path, body, source.size, mode, user)

    def upload_directory(
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
                self.mkdir(remote, mode=entry.mode, user=user)
            elif isinstance(entry, SourceFile):
                written = self.upload_file(entry.path, remote, user=user, on_progress=on_progress)
                summary.files += 1
                summary.bytes += written.size
            else:
                summary.skip(str(Path(local, *entry.parts)), entry.reason)
        return summary

    def download_file(
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
        entry = self.stat(path, user=user)
        if entry.type not in ("file", "symlink"):
            raise TransferFailed(f"{path} is not a regular file but a {entry.type}")
        real = Path(os.path.realpath(local))  # the caller's own link is followed
        mode = _mode(entry) if entry.type == "file" else 0o644
        with LocalTarget(real.parent) as target, target.writing((real.name,), mode) as file:
            return self._receive(path, file, user, on_progress)

    def download_directory(
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
            for entry in self.list(path, recursive=True, user=user):
                parts = parts_below(root, entry.path)
                if entry.type == "directory":
                    target.make_directory(parts, _mode(entry))
                elif entry.type == "symlink":
                    self._download_link(target, parts, entry, summary)
                elif entry.type == "file":
                    self._download_one(target, parts, entry, user, on_progress, summary)
                else:
                    summary.skip(entry.path, f"a {entry.type}")
        return summary

    def _download_one(
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
                summary.bytes += self._receive(entry.path, file, user, on_progress)
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

    def _receive(self, path: str, file: BinaryIO, user: User, on_progress: Progress) -> int:
        done = 0
        with self.stream(path, user=user) as chunks:
            for chunk in chunks:
                call(file.write, chunk)
                done += len(chunk)
                on_progress(path, done, None)
        return done


def _file_body(source: OpenSource, path: str, on_progress: Progress) -> Body:
    def chunks() -> Iterator[bytes]:
        call(source.rewind)
        done = 0
        while done < source.size:
            chunk = call(source.read, min(CHUNK_BYTES, source.size - done))
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
