"""A template's memory: a file that exists in the host's memory alone, and that nobody can change any more.

A VMM opens what it is given for writing, and keeps it open. One that a hostile guest had broken out into would
change the memory of every machine that is made of the template later: the seals are what keeps it from that,
whoever holds the file, and whatever user it is.
"""

import fcntl
import os

MIB = 1024 * 1024
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def new_memory(size_mb: int) -> int:
    """An open file of so many MiB, all zeros, which takes no space yet. Raises OSError."""
    descriptor = os.memfd_create("guest memory", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    try:
        os.truncate(descriptor, size_mb * MIB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def seal(descriptor: int) -> None:
    """From now on it can be read, and mapped copy-on-write, and nothing else. Raises OSError while somebody
    has it mapped for writing."""
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)


def taken_mb(descriptor: int) -> int:
    """MiB that it takes of the host's memory."""
    return os.fstat(descriptor).st_blocks * 512 // MIB
