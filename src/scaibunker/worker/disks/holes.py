"""Giving a part of a file back to the file system: it reads as zeros afterwards."""

import ctypes
import errno
import os
import threading

from scaibunker.worker.threads import check

KEEP_SIZE, PUNCH_HOLE = 1, 2
CHUNK = 1024 * 1024
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def punch(descriptor: int, begin: int, length: int, stop: threading.Event) -> None:
    """Zeros are written where the file system knows no holes. Raises OSError, Stopped."""
    if _libc.fallocate(descriptor, KEEP_SIZE | PUNCH_HOLE, begin, length) == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EOPNOTSUPP, errno.ENOSYS):
        raise OSError(number, os.strerror(number))
    end = begin + length
    while begin < end:
        check(stop)
        begin += os.pwrite(descriptor, bytes(min(CHUNK, end - begin)), begin)
