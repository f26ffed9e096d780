"""Where a worker keeps its data, beside its sockets: so that what is on the host leads back to it.

The daemon holds the note's lock for as long as it lives. The note stays for as long as there is anything else of the
worker on the host, and is gone after a reboot, as all that is.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel

from scaibunker.worker.errors import WorkerFault

SUFFIX = ".home"
ATTEMPTS, PAUSE_S = 20, 0.05


class Note(BaseModel):
    """`data_dir` holds the worker's id, and what its next daemon needs to find its machines again."""

    data_dir: Path


def path_of(runtime_dir: Path, worker_id: str) -> Path:
    return runtime_dir / f"{worker_id}{SUFFIX}"


@contextlib.contextmanager
def kept(path: Path, data_dir: Path, is_needed: Callable[[], bool]) -> Iterator[None]:
    """Written down and held while inside; afterwards it stays if it is needed. Raises WorkerFault if somebody else holds it:
    another daemon of the same id, or one who takes away what that worker has left."""
    with held(path) as descriptor:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, Note(data_dir=data_dir.absolute()).model_dump_json().encode(), 0)
        try:
            yield
        finally:
            if not is_needed():
                forget(path)


@contextlib.contextmanager
def held(path: Path) -> Iterator[int]:
    """Nobody else has it while inside. Raises WorkerFault if somebody has."""
    try:
        descriptor = _locked(path)
    except OSError as error:
        raise WorkerFault(f"cannot keep {path}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a daemon of that worker lives."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read(path: Path) -> Note | None:
    """None if there is nothing whole."""
    try:
        return Note.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def forget(path: Path) -> None:
    """And the folder, if nothing else is in it."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _locked(path: Path) -> int:
    for _ in range(ATTEMPTS):
        path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:  # another worker has ended, and with it the folder that was empty
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody who only looks has it for a moment
            os.close(descriptor)
            time.sleep(PAUSE_S)
            continue
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)  # it was forgotten between our two steps
    raise WorkerFault(
        f"another daemon of {path.name.removesuffix(SUFFIX)} lives on this host, or what it has left is being taken away"
    )
