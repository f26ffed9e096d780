"""Paths and modes that a caller may name. Pure.

The guest confines an operation to the rights of its user; this only keeps out what cannot be meant
and what would be read differently by the next in line.
"""

import re

from scaigrid.errors import ValidationFailed

MAX_PATH_BYTES = 4095
MAX_NAME_BYTES = 255
_MODE = re.compile(r"0?[0-7]{3,4}", re.ASCII)


def check_path(path: str, field: str = "path") -> str:
    """An absolute path without `..`. Raises ValidationFailed naming `field`."""
    if "\0" in path:
        raise ValidationFailed.of(field, "must not contain a NUL character")
    if not path.startswith("/"):
        raise ValidationFailed.of(field, "must be absolute")
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        raise ValidationFailed.of(field, "must be text in UTF-8") from None
    if len(raw) > MAX_PATH_BYTES:
        raise ValidationFailed.of(field, f"must have at most {MAX_PATH_BYTES} bytes")
    parts = raw.split(b"/")
    if b".." in parts:
        raise ValidationFailed.of(field, "must not contain a component `..`")
    if any(len(part) > MAX_NAME_BYTES for part in parts):
        raise ValidationFailed.of(field, f"must have components of at most {MAX_NAME_BYTES} bytes")
    return path


def check_mode(mode: str, field: str = "mode") -> str:
    """A file mode in octal, in four digits. Raises ValidationFailed."""
    if not _MODE.fullmatch(mode):
        raise ValidationFailed.of(field, "must be three or four octal digits, such as 0644")
    return f"{int(mode, 8):04o}"
