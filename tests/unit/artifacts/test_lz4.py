"""The unpacker, against frames made by hand from the format's definition."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaibunker.artifacts.lz4 import LEGACY_MAGIC, Lz4Error, decompress_legacy


def frame(*blocks: bytes) -> bytes:
    return LEGACY_MAGIC + b"".join(len(b).to_bytes(4, "little") + b for b in blocks)


def literals(data: bytes) -> bytes:
    """One sequence with literals alone."""
    if len(data) < 15:
        return bytes([len(data) << 4]) + data
    rest = len(data) - 15
    return b"\xf0" + b"\xff" * (rest // 255) + bytes([rest % 255]) + data


@given(st.lists(st.binary(min_size=1, max_size=2000), min_size=1, max_size=4))
def test_literals_come_back(blocks: list[bytes]) -> None:
    packed = frame(*(literals(block) for block in blocks))
    assert decompress_legacy(packed, 1 << 20) == b"".join(blocks)


def test_copies_reach_back_and_overlap_themselves() -> None:
    # "abc", then 6 bytes from 3 back, then 20 bytes from 1 back, then the literal "z".
    block = b"\x32abc" + b"\x03\x00" + b"\x0f\x01\x00\x01" + b"\x10z"
    assert decompress_legacy(frame(block), 100) == b"abcabcabc" + b"c" * 20 + b"z"


def test_the_size_that_the_kernel_appends_is_ignored() -> None:
    assert decompress_legacy(frame(literals(b"x")) + b"\x01\0\0\0", 10) == b"x"


@pytest.mark.parametrize(
    "packed",
    [
        b"other" + literals(b"x"),
        frame(b"\x10a\x05\x00"),  # a copy from before the start
        frame(b"\x10a\x00\x00"),  # from nowhere
        frame(b"\x10a\x01"),  # half a distance
        frame(literals(b"cut short"))[:-1],
        LEGACY_MAGIC + (1 << 30).to_bytes(4, "little") + b"xxxxx",
    ],
)
def test_broken_frames_are_refused(packed: bytes) -> None:
    with pytest.raises(Lz4Error):
        decompress_legacy(packed, 1 << 20)


def test_bombs_are_refused() -> None:
    # 'a', then one copy of many MiB: 255 a byte.
    block = b"\x1fa\x01\x00" + b"\xff" * (40 << 10) + b"\x00"
    with pytest.raises(Lz4Error, match="more than"):
        decompress_legacy(frame(block), 1 << 20)
    with pytest.raises(Lz4Error, match="8 MiB"):
        decompress_legacy(frame(block), 1 << 30)


@given(st.binary(max_size=300))
def test_anything_else_raises_nothing_but_its_own_error(junk: bytes) -> None:
    with suppress(Lz4Error):
        decompress_legacy(frame(junk), 1 << 20)
