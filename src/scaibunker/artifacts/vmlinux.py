"""Find the uncompressed ELF kernel inside a bzImage.

Owns the x86 boot header's layout and the choice of unpacker. Booting the ELF file by PVH skips
the kernel's own unpacking, half a second under software emulation. Where no ELF with a PVH entry
comes out, the caller boots the bzImage as it is. Downloading the kernel is `kernel`.
"""

import bz2
import gzip
import lzma
import struct
import zlib

from scaibunker.artifacts.lz4 import LEGACY_MAGIC, Lz4Error, decompress_legacy

_LIMIT = 512 << 20
"""Most bytes that a kernel may unpack to."""
_HEADER_MAGIC_AT, _SETUP_SECTORS_AT, _PAYLOAD_AT = 0x202, 0x1F1, 0x248
_ELF_MAGIC = b"\x7fELF"
_NOTE_PVH_ENTRY = 18
"""`XEN_ELFNOTE_PHYS32_ENTRY`: where a hypervisor jumps to."""
_PT_NOTE = 4


def is_bootable_elf(image: bytes) -> bool:
    """Tell whether `image` is a 64-bit ELF file with a PVH entry point."""
    if image[:5] != _ELF_MAGIC + b"\x02" or len(image) < 64:
        return False
    table, entry_size, entries = (
        struct.unpack_from("<Q", image, 32)[0],
        *struct.unpack_from("<HH", image, 54),
    )
    try:
        for index in range(entries):
            at = table + index * entry_size
            kind, _flags, offset = struct.unpack_from("<IIQ", image, at)
            size = struct.unpack_from("<Q", image, at + 32)[0]
            if kind == _PT_NOTE and _has_pvh_note(image[offset : offset + size]):
                return True
    except struct.error:
        return False
    return False


def _has_pvh_note(notes: bytes) -> bool:
    at = 0
    while at + 12 <= len(notes):
        name_size, desc_size, kind = struct.unpack_from("<III", notes, at)
        name = notes[at + 12 : at + 12 + name_size].rstrip(b"\0")
        if kind == _NOTE_PVH_ENTRY and name == b"Xen":
            return True
        at += 12 + (name_size + 3 & ~3) + (desc_size + 3 & ~3)
    return False


def extract(bzimage: bytes) -> bytes | None:
    """Return the ELF kernel inside `bzimage`, or None if there is none that can be booted."""
    try:
        if bzimage[_HEADER_MAGIC_AT : _HEADER_MAGIC_AT + 4] != b"HdrS":
            return None
        offset, length = struct.unpack_from("<II", bzimage, _PAYLOAD_AT)
        start = (bzimage[_SETUP_SECTORS_AT] + 1) * 512 + offset
        image = _unpack(bzimage[start : start + length])
    except (struct.error, IndexError, Lz4Error, OSError, EOFError, lzma.LZMAError, zlib.error):
        return None
    return image if image is not None and is_bootable_elf(image) else None


def _unpack(payload: bytes) -> bytes | None:
    if payload.startswith(LEGACY_MAGIC):
        return decompress_legacy(payload, _LIMIT)
    # The build appends four bytes with the unpacked size, which the streams end before.
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(payload, _LIMIT)
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload, _LIMIT)
    if payload.startswith(b"BZh"):
        return bz2.BZ2Decompressor().decompress(payload, _LIMIT)
    if payload.startswith(_ELF_MAGIC):
        return payload
    return None


def unpack_module(name: str, content: bytes) -> bytes | None:
    """Return a kernel module's plain ELF bytes, or None if its compression is not known.

    `name` decides by its suffix; the kernel's loader would not unpack it for the guest agent.
    """
    if name.endswith(".ko"):
        return content
    if name.endswith(".ko.gz"):
        return gzip.decompress(content)
    if name.endswith(".ko.xz"):
        return lzma.decompress(content)
    return None
