"""Unpack the LZ4 "legacy" frames that Linux compresses its own image with.

Owns the format only; where a frame lies inside a kernel image is `vmlinux`. The standard library
has no LZ4, and one kernel at set-up time does not earn a dependency.
"""

LEGACY_MAGIC = bytes.fromhex("02214c18")
_BLOCK_LIMIT = 8 << 20


class Lz4Error(ValueError):
    """The bytes are no legacy LZ4 frame, or unpack to more than allowed."""


def decompress_legacy(frame: bytes, limit: int) -> bytes:
    """Return what `frame` holds; at most `limit` bytes, or `Lz4Error`.

    Fewer than five bytes behind the last block are ignored: the kernel's build appends the
    unpacked size there.
    """
    if frame[:4] != LEGACY_MAGIC:
        msg = "no legacy LZ4 frame"
        raise Lz4Error(msg)
    out = bytearray()
    at = 4
    while len(frame) - at > 4:
        size = int.from_bytes(frame[at : at + 4], "little")
        at += 4
        if size == 0 or size > len(frame) - at:
            msg = f"block of {size} bytes at {at} does not fit the frame"
            raise Lz4Error(msg)
        try:
            out += _block(frame[at : at + size])
        except IndexError:
            msg = f"block at {at} is cut short"
            raise Lz4Error(msg) from None
        if len(out) > limit:
            msg = f"unpacks to more than {limit} bytes"
            raise Lz4Error(msg)
        at += size
    return bytes(out)


def _block(src: bytes) -> bytearray:
    """Unpack one block: literals, then a copy of earlier output, over and over."""
    out = bytearray()
    at, end = 0, len(src)
    while at < end:
        token = src[at]
        at += 1
        literals = token >> 4
        if literals == 15:
            while True:
                more = src[at]
                at += 1
                literals += more
                if more != 255:
                    break
        out += src[at : at + literals]
        at += literals
        if at >= end:  # the last sequence has literals only
            break
        distance = src[at] | src[at + 1] << 8
        at += 2
        length = (token & 15) + 4
        if length == 19:
            while True:
                more = src[at]
                at += 1
                length += more
                if more != 255:
                    break
        start = len(out) - distance
        if distance == 0 or start < 0:
            msg = "copy from before the block"
            raise Lz4Error(msg)
        if distance >= length:
            out += out[start : start + length]
        else:  # the copy overlaps itself: a repeating pattern
            out += (out[start:] * (length // distance + 1))[:length]
        if len(out) > _BLOCK_LIMIT:
            msg = "block unpacks to more than 8 MiB"
            raise Lz4Error(msg)
    return out
