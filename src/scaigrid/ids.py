"""Identifiers: a readable prefix and 26 characters that sort by the time they were made.

48 bits of milliseconds, 80 random bits, in Crockford's base 32 in lower case. Callers must treat
them as opaque.
"""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)


def new_token() -> str:
    """The part after the prefix."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(secrets.token_bytes(10))
    return "".join(_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10))


def new_id(prefix: str, token: str | None = None) -> str:
    """A new id such as `bnk_01h...`; with `token`, the id of that token's first resource."""
    return f"{prefix}_{token or new_token()}"
