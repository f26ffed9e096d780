"""Network namespaces: made, entered, removed.

A namespace is entered by a thread of its own, which ends with the work it was started for: the event loop's thread, and
any that another might use again, stays in the host's.
"""

import contextlib
import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.threads import in_thread

T = TypeVar("T")

FOLDER = Path("/run/netns")
"""Where `ip netns` keeps them too."""
CLONE_NEWNET = 0x40000000
MS_BIND, MS_REC, MS_SHARED, MNT_DETACH = 0x1000, 0x4000, 0x100000, 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [
    ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p,
]  # fmt: skip


def path_of(name: str) -> Path:
    return FOLDER / name


def names() -> list[str]:
    try:
        return sorted(os.listdir(FOLDER))  # noqa: PTH208 - names are meant
    except FileNotFoundError:
        return []


def create(name: str) -> None:
    """Make one, held by a mount at its path, so that it outlives the daemon. Raises OSError; FileExistsError if there is
    one."""
    _prepare_folder()
    path = path_of(name)
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o000))
    try:
        in_own_thread(lambda: _unshare_and_hold(path))
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def remove(name: str) -> None:
    """Let go of it; it ends with the last process and socket in it. Idempotent. Raises OSError."""
    path = os.fsencode(path_of(name))
    while _libc.umount2(path, MNT_DETACH) == 0:  # once for each time that it was mounted there
        pass
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOENT):  # not mounted; not there
        raise OSError(number, os.strerror(number), str(path_of(name)))
    path_of(name).unlink(missing_ok=True)


def enter(name: str) -> None:
    """Move the calling thread there, for good. Raises WorkerFault if there is no such."""
    try:
        with opened(name) as descriptor:
            _call(_libc.setns(descriptor, CLONE_NEWNET))
    except OSError as error:
        raise WorkerFault(f"there is no network namespace {name}: {error.strerror}") from error


@contextlib.contextmanager
def opened(name: str) -> Iterator[int]:
    """A descriptor of it. Raises OSError."""
    descriptor = os.open(path_of(name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def inside(name: str, work: Callable[[], T]) -> T:
    """Do it in that namespace. It is done to its end, whoever goes away. Raises WorkerFault if there is no such."""

    def entered(_stop: threading.Event) -> T:
        enter(name)
        return work()

    return await in_thread(entered)


async def outside(work: Callable[[], T]) -> T:
    """Do what may take a moment in the host's namespace, away from the event loop."""
    return await in_thread(lambda _stop: work())


def inside_now(name: str, work: Callable[[], T]) -> T:
    """The same, and the calling thread waits: for what takes less than a millisecond."""

    def entered() -> T:
        enter(name)
        return work()

    return in_own_thread(entered)


def in_own_thread(work: Callable[[], T]) -> T:
    """Do it in a thread that ends with it."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def unshare() -> None:
    """Move the calling thread into a new namespace that nobody else holds. Raises OSError."""
    _call(_libc.unshare(CLONE_NEWNET))


def _unshare_and_hold(path: Path) -> None:
    unshare()
    source = f"/proc/self/task/{threading.get_native_id()}/ns/net"
    _mount(source, path, MS_BIND)


def _prepare_folder() -> None:
    """As `ip netns` does it: what is unmounted here is unmounted for those too that copied our mounts."""
    FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        _mount("", FOLDER, MS_SHARED | MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:  # it is no mount yet
            raise
        _mount(str(FOLDER), FOLDER, MS_BIND | MS_REC)
        _mount("", FOLDER, MS_SHARED | MS_REC)


def _mount(source: str, target: Path, flags: int) -> None:
    _call(_libc.mount(source.encode(), os.fsencode(target), b"none", flags, None))


def _call(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
