"""A template's memory cannot be changed once it is sealed, by nobody who holds it."""

import mmap
import os

import pytest

from scaibunker.worker.templates.memory import MIB, new_memory, seal, taken_mb


def test_sealed_memory_can_be_read_and_mapped_privately_and_nothing_else() -> None:
    descriptor = new_memory(8)
    try:
        assert taken_mb(descriptor) == 0
        os.pwrite(descriptor, b"\1" * MIB, 4 * MIB)
        assert taken_mb(descriptor) == 1
        with mmap.mmap(descriptor, 8 * MIB), pytest.raises(OSError, match="busy"):
            seal(descriptor)
        seal(descriptor)
        # As a VMM opens it: for writing, by its path.
        opened = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
        try:
            for forbidden in (
                lambda: os.pwrite(opened, b"x", 0),
                lambda: os.truncate(opened, MIB),
                lambda: os.truncate(opened, 9 * MIB),
                lambda: mmap.mmap(opened, 8 * MIB),
            ):
                with pytest.raises(PermissionError):
                    forbidden()
            with mmap.mmap(opened, 8 * MIB, access=mmap.ACCESS_COPY) as mapped:
                assert mapped[4 * MIB] == 1
                mapped[4 * MIB] = 2
            assert os.pread(descriptor, 1, 4 * MIB) == b"\1"
        finally:
            os.close(opened)
    finally:
        os.close(descriptor)
