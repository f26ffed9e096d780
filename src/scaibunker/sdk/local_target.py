"""A local directory as the target of a copy. What a bunker calls its files is not to be trusted.

A name can never lead outside: each is one plain path component, every directory on the way is
opened by descriptor without following links, and a link is only made if it points to the inside by
construction. Files appear whole or not at all. Modes are cut to the permission bits and the umask.
"""

import os
import posixpath
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

from scaibunker.sdk.errors import TransferFailed, UnsafePath

Parts = tuple[str, ...]
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def parts_below(root: str, path: str) -> Parts:
    """The names that lead from directory `root` of the bunker to `path`. Raises `UnsafePath`."""
    prefix = root if root.endswith("/") else f"{root}/"
    parts = tuple(path.removeprefix(prefix).split("/"))
    if not path.startswith(prefix) or not all(map(_is_plain, parts)):
        raise UnsafePath(f"the bunker lists {path!r} below {root!r}: refused")
    return parts


def link_stays_inside(parts: Parts, target: str) -> bool:
    """Whether a link at `parts` to `target` leads to a place below the root.

    `..` counts at the beginning only, where it climbs directories that we made ourselves; behind a
    name, which may be a link, nobody can say where it leads.
    """
    if not target or target.startswith("/") or "\0" in target:
        return False
    steps = target.split("/")
    climbs = next((n for n, step in enumerate(steps) if step != ".."), len(steps))
    return climbs < len(parts) and ".." not in steps[climbs:]


class LocalTarget:
    """A directory to copy into; made, with its parents, if it is not there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        with self._explained(()):
            root.mkdir(parents=True, exist_ok=True)
            # The root itself is the caller's word: a link there is followed.
            self._descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def make_directory(self, parts: Parts, mode: int) -> None:
        """Make a directory and the missing ones above it. One that exists is left as it is."""
        with self._explained(parts):
            os.close(self._open_folder(parts, mode))

    def make_link(self, parts: Parts, target: str) -> None:
        """Make a symbolic link, in place of a file or link of that name."""
        if not link_stays_inside(parts, target):
            raise UnsafePath(f"{'/'.join(parts)!r} is a link out of the copied directory: refused")
        with self._explained(parts), self._folder_of(parts) as folder:
            temporary = _temporary_name()
            os.symlink(target, temporary, dir_fd=folder)
            self._put_in_place(folder, temporary, parts[-1])

    @contextmanager
    def writing(self, parts: Parts, mode: int) -> Iterator[BinaryIO]:
        """A new file that takes its name, and the place of what had it, when it is complete."""
        with self._explained(parts), self._folder_of(parts) as folder:
            self._check_replaceable(folder, parts[-1])
            temporary = _temporary_name()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, mode & 0o777, dir_fd=folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    yield file
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            self._put_in_place(folder, temporary, parts[-1])

    def _put_in_place(self, folder: int, temporary: str, name: str) -> None:
        try:
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise

    def _check_replaceable(self, folder: int, name: str) -> None:
        """A device or pipe that has the name is not to be replaced by a file."""
        with suppress(FileNotFoundError):
            kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISLNK(kind) or stat.S_ISDIR(kind)):
                raise TransferFailed(f"{self._root / name} is not a regular file")

    @contextmanager
    def _folder_of(self, parts: Parts) -> Iterator[int]:
        if not parts or not all(map(_is_plain, parts)):
            raise UnsafePath(f"{'/'.join(parts)!r} is not a name within the target")
        folder = self._open_folder(parts[:-1], 0o777)
        try:
            yield folder
        finally:
            os.close(folder)

    def _open_folder(self, parts: Parts, mode: int) -> int:
        current = os.dup(self._descriptor)
        try:
            for part in parts:
                if not _is_plain(part):
                    raise UnsafePath(f"{'/'.join(parts)!r} is not a name within the target")
                with suppress(FileExistsError):
                    # Our own access is kept, or what is in it could not be written.
                    os.mkdir(part, (mode & 0o777) | stat.S_IRWXU, dir_fd=current)
                below = os.open(part, _FOLDER, dir_fd=current)
                os.close(current)
                current = below
        except NotADirectoryError:  # O_NOFOLLOW with O_DIRECTORY says this of a link, too
            os.close(current)
            raise UnsafePath(
                f"{self._root / '/'.join(parts)}: a directory on the way is a file or a link"
            ) from None
        except BaseException:
            os.close(current)
            raise
        return current

    @contextmanager
    def _explained(self, parts: Parts) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = self._root.joinpath(*parts)
            raise TransferFailed(f"cannot write {where}: {error.strerror or error}") from error


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and "/" not in part and "\0" not in part


def _temporary_name() -> str:
    return f".scaibunker-{secrets.token_hex(8)}.part"


def remote_join(root: str, parts: Parts) -> str:
    """A path in the bunker."""
    return posixpath.join(root, *parts)
