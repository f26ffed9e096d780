"""Kernels made here."""

import struct


def note(name: bytes, kind: int, content: bytes) -> bytes:
    def pad(data: bytes) -> bytes:
        return data + bytes(-len(data) % 4)

    return struct.pack("<III", len(name), len(content), kind) + pad(name) + pad(content)


def elf(notes: bytes) -> bytes:
    """A 64-bit ELF file with one program header, which holds `notes`."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    program = struct.pack("<IIQQQQQQ", 4, 0, 120, 0, 0, len(notes), len(notes), 4)
    return header + program + notes


KERNEL = elf(note(b"GNU\0", 1, b"other") + note(b"Xen\0", 18, bytes(8)))


def bzimage(payload: bytes, sectors: int = 4, offset: int = 100) -> bytes:
    image = bytearray((sectors + 1) * 512 + offset)
    image[0x1F1] = sectors
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, offset, len(payload))
    return bytes(image) + payload
