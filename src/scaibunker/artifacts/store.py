"""A cache of files by content, and of what was built from which inputs.

    objects/<sha256>          the files, world-readable, never changed
    refs/<kind>/<key>.json    what a build with these inputs gave: file name -> object
    locks/, scratch/          one per kind and key

Owns atomicity: an object or a ref is there whole or not at all, whoever dies when; two builders
of the same key take turns, and the second finds the first one's result. Knows nothing of
kernels or images. What goes into a key is the caller's affair.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaibunker.artifacts.records import ArtifactsError


@dataclass(frozen=True)
class StoredFile:
    """One object: where it is, its SHA-256 in hexadecimal and its size in bytes."""

    path: Path
    sha256: str
    size: int


@dataclass(frozen=True)
class Entry:
    """What one build gave: its files by name, and notes the builder wanted kept."""

    files: Mapping[str, StoredFile]
    notes: Mapping[str, str]


@dataclass(frozen=True)
class Built:
    """What a builder hands over: files inside its scratch directory, and notes."""

    files: Mapping[str, Path]
    notes: Mapping[str, str]


class Store:
    """The cache in one directory, which is made when first needed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, kind: str, key: str, *, verify: bool = False) -> Entry | None:
        """Return what was built from `key`, or None if it is not there or not whole.

        Sizes are always checked; `verify` reads every file and checks its SHA-256 too.
        """
        try:
            ref = json.loads(self._ref(kind, key).read_text(encoding="utf-8"))
            files = {
                name: StoredFile(self._object(f["sha256"]), f["sha256"], f["size"])
                for name, f in ref["files"].items()
            }
            notes = {str(name): str(value) for name, value in ref["notes"].items()}
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None
        if all(is_whole(file, verify=verify) for file in files.values()):
            return Entry(files, notes)
        return None

    def build(
        self, kind: str, key: str, builder: Callable[[Path], Built], *, refresh: bool = False
    ) -> Entry:
        """Return what `key` gives, calling `builder(scratch)` if it is not there yet.

        `refresh` calls it even so. The scratch directory is empty, private to this call and gone
        afterwards.
        """
        with self._locked(f"{kind}-{key}"):
            if not refresh and (entry := self.find(kind, key)) is not None:
                return entry
            scratch = self._root / "scratch" / f"{kind}-{key}"
            shutil.rmtree(scratch, ignore_errors=True)  # of a builder that died
            scratch.mkdir(parents=True)
            try:
                built = builder(scratch)
                files = {name: self._import(path) for name, path in built.files.items()}
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            entry = Entry(files, built.notes)
            self._write_ref(kind, key, entry)
            return entry

    def write_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Replace the JSON file `name` at the top of the cache, whole or not at all."""
        _write_atomically(self._root / name, document)

    def read_document(self, name: str) -> Any:
        """Return what `write_document` wrote, or None if that never happened or is not JSON."""
        try:
            return json.loads((self._root / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    @contextmanager
    def locked_document(self, name: str) -> Iterator[None]:
        """Keep other processes from changing the document meanwhile."""
        with self._locked(f"document-{name}"):
            yield

    def stored(self, sha256: str, size: int) -> StoredFile:
        """Return the object with that content, which may or may not be there."""
        return StoredFile(self._object(sha256), sha256, size)

    def prune(self, keep: Collection[str], older_than_s: float) -> int:
        """Remove every ref that has none of the objects `keep` (SHA-256), and what only it needed.

        Objects younger than `older_than_s` seconds stay: a builder may be about to name them.
        Returns the bytes freed.
        """
        needed = set(keep)
        for ref in sorted(self._root.glob("refs/*/*.json")):
            entry = self.find(ref.parent.name, ref.stem)
            contents = {file.sha256 for file in entry.files.values()} if entry else set()
            if contents.isdisjoint(keep):
                ref.unlink(missing_ok=True)
            else:
                needed |= contents
        freed = 0
        for path in sorted((self._root / "objects").glob("*")):
            status = path.stat()
            if path.name not in needed and status.st_mtime < time.time() - older_than_s:
                path.unlink(missing_ok=True)
                freed += status.st_blocks * 512
        return freed

    def _ref(self, kind: str, key: str) -> Path:
        return self._root / "refs" / kind / f"{key}.json"

    def _object(self, sha256: str) -> Path:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            msg = f"not a SHA-256: {sha256!r}"
            raise ValueError(msg)
        return self._root / "objects" / sha256

    def _import(self, path: Path) -> StoredFile:
        """Move a finished file into the objects, under its content's name."""
        sha256, size = digest(path), path.stat().st_size
        target = self._object(sha256)
        self._make_objects()
        # Another user's process reads them: the VMM does not run as us.
        path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        os.utime(path)  # its age counts from now, see prune()
        path.replace(target)
        return StoredFile(target, sha256, size)

    def _make_objects(self) -> None:
        """Make the objects' directory, with a way to it for others whatever the umask."""
        for directory in (self._root, self._root / "objects"):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(directory.stat().st_mode & 0o7777 | 0o055)

    def _write_ref(self, kind: str, key: str, entry: Entry) -> None:
        files = {n: {"sha256": f.sha256, "size": f.size} for n, f in entry.files.items()}
        _write_atomically(self._ref(kind, key), {"files": files, "notes": dict(entry.notes)})

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        path = self._root / "locks" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("w")
        except OSError as error:
            msg = f"the cache directory {self._root} cannot be used: {error.strerror}"
            raise ArtifactsError(msg) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def is_whole(file: StoredFile, *, verify: bool) -> bool:
    """Tell whether the object is there with its size and, with `verify`, its content."""
    try:
        if file.path.stat().st_size != file.size:
            return False
        return not verify or digest(file.path) == file.sha256
    except OSError:
        return False


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key_of(**inputs: object) -> str:
    """Return the key that stands for these inputs, which must be JSON values."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _write_atomically(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
