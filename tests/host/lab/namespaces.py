"""Network namespaces of a test: made, entered by a thread, taken away."""

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def enter(path: Path) -> None:
    """Move the calling thread there, for good."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(descriptor)


def ip(*arguments: str, batch: str = "") -> str:
    argv = ["ip", *arguments, *(["-batch", "-"] if batch else [])]
    done = subprocess.run(argv, input=batch, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{argv} {batch}: {done.stderr}"
    return done.stdout


class Namespace:
    """A named one, with its loopback up."""

    def __init__(self, name: str, *, there: bool = False) -> None:
        """Make it, unless it is `there`."""
        self.name = name
        self.path = Path("/run/netns") / name
        if not there:
            ip("netns", "add", name)
            self.ip("link", "set", "lo", "up")

    def ip(self, *arguments: str) -> str:
        return ip("-n", self.name, *arguments)

    def batch(self, text: str) -> None:
        """Lines for `ip -batch`."""
        ip("-n", self.name, batch=text)

    def command(self, *argv: str) -> list[str]:
        """The same command, run in here. Only the network is another one: mounts, and so control groups, stay."""
        return ["nsenter", f"--net={self.path}", "--", *argv]

    def run(self, *argv: str, stdin: str = "") -> str:
        """Its output. AssertionError if it fails."""
        done = subprocess.run(
            self.command(*argv), input=stdin, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def sysctl(self, **values: int | str) -> None:
        """Keys below /proc/sys/net, with `__` for `/`."""

        def write() -> None:
            for key, value in values.items():
                Path("/proc/sys/net", *key.split("__")).write_text(str(value))

        self.call(write)

    def sysctl_of(self, key: str) -> str:
        """What it is now."""
        return self.call(lambda: Path("/proc/sys/net", *key.split("__")).read_text().strip())

    def call(self, work: Callable[[], T]) -> T:
        """What `work` gives, run by a thread that is in here. Sockets opened by it stay in here."""
        results: list[T] = []
        errors: list[BaseException] = []

        def body() -> None:
            try:
                enter(self.path)
                results.append(work())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=body, name=f"in {self.name}")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def delete(self) -> None:
        """With all devices in it; what still holds it open keeps an empty one."""
        with contextlib.suppress(AssertionError):
            names = [line.split(":")[1].split("@")[0].strip() for line in self._links()]
            for name in names:
                with contextlib.suppress(AssertionError):
                    self.ip("link", "del", name)
        with contextlib.suppress(AssertionError):
            ip("netns", "del", self.name)

    def _links(self) -> list[str]:
        return [line for line in self.ip("-o", "link").splitlines() if ": lo:" not in line]
