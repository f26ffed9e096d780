"""File systems of a test's own, small enough to fill."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def tmpfs(path: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes at `path`, in memory; gone afterwards. Needs root."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    path.mkdir()
    options = f"size={size},mode=0700".encode()
    if _libc.mount(b"tests", os.fsencode(path), b"tmpfs", 0, options):
        pytest.skip(f"this host lets nobody mount: {os.strerror(ctypes.get_errno())}")
    try:
        yield path
    finally:
        assert _libc.umount2(os.fsencode(path), MNT_DETACH) == 0
        path.rmdir()


def fill(path: Path) -> None:
    """Take all that is left of a file system."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
