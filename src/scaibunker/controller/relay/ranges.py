"""`Range` of one span of bytes. Pure."""

import re

from scaigrid.errors import RangeNotSatisfiable

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The span (start, end exclusive) that a header asks for; None for the whole.

    A header that is not understood means the whole, as HTTP has it. Raises RangeNotSatisfiable.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size:
        raise RangeNotSatisfiable.of("content", size)
    return start, end
