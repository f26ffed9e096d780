"""What the kernel's reader would find in an archive."""


def read_back(data: bytes) -> list[tuple[str, int, bytes]]:
    """Read a newc archive by its definition, to its trailer."""
    entries: list[tuple[str, int, bytes]] = []
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, uid, gid, mtime, size, name_size = (fields[i] for i in (1, 2, 3, 5, 6, 11))
        assert (uid, gid, mtime) == (0, 0, 0)
        name = data[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        start = (at + 110 + name_size + 3) & ~3
        if name == b"TRAILER!!!\0":
            assert not any(data[start:])
            return entries
        entries.append((name[:-1].decode(), mode, data[start : start + size]))
        at = (start + size + 3) & ~3
