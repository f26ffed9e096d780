"""A network namespace of a test's own, without anything of the product."""

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """`inside` runs a function on a thread that is in it; sockets that it opens stay there."""

    def __init__(self, file: int) -> None:
        self._file = file

    @property
    def path(self) -> str:
        """As `ip` takes it."""
        return f"/proc/{os.getpid()}/fd/{self._file}"

    def inside(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                if _libc.setns(self._file, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return done.result()

    def run(self, *command: str, given: str = "") -> None:
        """A command of the host, inside."""
        self.inside(lambda: subprocess.run(command, input=given.encode(), check=True))


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """Without a name: it goes when nothing of it is open any more."""

    def make() -> int:
        if _libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    made: Future[int] = Future()

    def run() -> None:
        try:
            made.set_result(make())
        except BaseException as error:
            made.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    file = made.result()
    try:
        new = Namespace(file)
        new.run("ip", "link", "set", "lo", "up")
        yield new
    finally:
        os.close(file)
