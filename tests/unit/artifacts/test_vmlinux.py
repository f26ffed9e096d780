"""Finding the ELF kernel inside a bzImage made here."""

import gzip
import lzma
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaibunker.artifacts.vmlinux import extract, is_bootable_elf, unpack_module
from tests.unit.artifacts.kernels import KERNEL, bzimage, elf, note


@pytest.mark.parametrize(
    "payload",
    [
        KERNEL,
        gzip.compress(KERNEL) + struct.pack("<I", len(KERNEL)),
        lzma.compress(KERNEL) + struct.pack("<I", len(KERNEL)),
    ],
    ids=["plain", "gzip", "xz"],
)
def test_the_kernel_comes_out(payload: bytes) -> None:
    assert extract(bzimage(payload)) == KERNEL


def test_a_kernel_without_a_pvh_entry_is_not_used() -> None:
    plain = elf(note(b"GNU\0", 18, bytes(8)))
    assert not is_bootable_elf(plain)
    assert extract(bzimage(plain)) is None


def test_an_unknown_compression_is_not_used() -> None:
    assert extract(bzimage(b"\x28\xb5\x2f\xfd" + bytes(100))) is None


@given(st.binary(max_size=1000))
def test_junk_is_no_kernel(junk: bytes) -> None:
    assert extract(junk) is None
    assert extract(bzimage(b"\x1f\x8b" + junk)) is None
    assert extract(bzimage(b"\xfd7zXZ\0" + junk)) is None
    assert not is_bootable_elf(b"\x7fELF\x02" + junk)


def test_modules_are_unpacked_by_their_suffix() -> None:
    assert unpack_module("a.ko", b"plain") == b"plain"
    assert unpack_module("a.ko.xz", lzma.compress(b"x")) == b"x"
    assert unpack_module("a.ko.gz", gzip.compress(b"x")) == b"x"
    assert unpack_module("a.ko.zst", b"?") is None
