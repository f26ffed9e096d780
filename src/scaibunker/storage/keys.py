"""What a key may look like, and which keys are below a prefix. Pure.

A key is segments with slashes between them: no segment is empty, or goes up, or has anything in it
that a URL, a file system or a server could read in two ways.
"""

import re

MAX_KEY = 900
"""Characters; S3 takes 1024, of which a bucket's prefix needs some."""
MAX_SEGMENT = 200
"""Characters; a file's name has 255 at most, of which the backend needs some."""
RULE = (
    f"must be at most {MAX_KEY} characters: segments of letters, digits, '.', '_' and '-' (1 to "
    f"{MAX_SEGMENT} of them, not only dots) with single slashes between them"
)
_SEGMENT = re.compile(rf"(?!\.+\Z)[A-Za-z0-9._-]{{1,{MAX_SEGMENT}}}", re.ASCII)


class BadKey(ValueError):
    """It is no key."""


def check_key(key: str) -> str:
    """The key. Raises BadKey."""
    if len(key) > MAX_KEY or not all(_SEGMENT.fullmatch(part) for part in key.split("/")):
        raise BadKey(RULE)
    return key


def check_prefix(prefix: str) -> str:
    """A prefix without the slash that it may end with. Raises BadKey."""
    return check_key(prefix.removesuffix("/"))


def is_below(key: str, prefix: str) -> bool:
    """Whether a key begins with all segments of a prefix, and has more."""
    return key.startswith(f"{prefix}/")
