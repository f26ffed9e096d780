"""JSON Web Key Sets: which of the keys in one may verify a token."""

import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import InvalidKeyError
from jwt.algorithms import RSAAlgorithm

ALGORITHM = "RS256"
MAX_BYTES = 256 * 1024
MAX_KEYS = 64
MAX_KID = 256
"""Characters of a key's id."""
MIN_BITS, MAX_BITS = 2048, 8192


class BadKeySet(Exception):
    """What was read is no key set; the message says why, without its content."""


def parse(content: bytes) -> dict[str, RSAPublicKey]:
    """The keys of a set that may verify a token, by their ids. Raises BadKeySet.

    A key for something else is no fault of the set. An id that several keys have names none of
    them: which one is meant cannot be told.
    """
    found: dict[str, RSAPublicKey] = {}
    ambiguous: set[str] = set()
    for entry in _entries(content):
        key = _usable(entry)
        if key is None:
            continue
        kid = entry["kid"]
        if kid in found:
            ambiguous.add(kid)
        found[kid] = key
    return {kid: key for kid, key in found.items() if kid not in ambiguous}


def _entries(content: bytes) -> list[Any]:
    if len(content) > MAX_BYTES:
        raise BadKeySet(f"it is larger than {MAX_BYTES} bytes")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise BadKeySet("it is not JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise BadKeySet("it has no list of keys")
    if len(entries) > MAX_KEYS:
        raise BadKeySet(f"it has more than {MAX_KEYS} keys")
    return entries


def _usable(entry: Any) -> RSAPublicKey | None:
    """The key of an entry, if it is one that signs tokens with RS256 and nobody else can."""
    if not isinstance(entry, Mapping) or not _is_meant(entry):
        return None
    try:
        key = RSAAlgorithm.from_jwk(dict(entry))
    except (InvalidKeyError, ValueError, TypeError):
        return None
    if not isinstance(key, RSAPublicKey) or not MIN_BITS <= key.key_size <= MAX_BITS:
        return None
    return key


def _is_meant(entry: Mapping[str, Any]) -> bool:
    kid, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    return (
        entry.get("kty") == "RSA"
        and isinstance(kid, str)
        and 0 < len(kid) <= MAX_KID
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", ALGORITHM) == ALGORITHM
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in entry  # a private key that is published signs for everybody
    )
