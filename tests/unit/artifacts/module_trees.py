"""Kernel modules made here, with nothing but a `.modinfo` section."""

import struct
from pathlib import Path


def module(*depends: str) -> bytes:
    """A 64-bit ELF file whose `.modinfo` names what it depends on."""
    info = f"license=GPL\0depends={','.join(depends)}\0".encode()
    names = b"\0.modinfo\0.shstrtab\0"
    table = 64 + len(info) + len(names)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    sections = [
        struct.pack("<IIQQQQIIQQ", *fields, 0, 0, 1, 0)
        for fields in (
            (0, 0, 0, 0, 0, 0),
            (1, 1, 0, 0, 64, len(info)),
            (10, 3, 0, 0, 64 + len(info), len(names)),
        )
    ]
    return header + info + names + b"".join(sections)


def tree(root: Path, builtin: str = "", **modules: bytes) -> Path:
    for name, content in modules.items():
        path = root / "kernel" / name[0] / f"{name.replace('_', '-')}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "modules.builtin").write_text(builtin)
    return root
