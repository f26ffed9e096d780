"""The SHA-256 that a request says its body has. Pure.

Clients of object stores say it in different ways, and one that is given and not looked at would be worse than
none: so all that are in use are understood. If there are several, they must agree.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping

X_CONTENT_SHA256 = "X-Content-SHA256"
SHA256 = "sha256"
"""The same as a parameter of the query."""
_HEX = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_MEMBER = re.compile(r"\s*([A-Za-z0-9*_.-]{1,64})\s*=\s*(\S{0,256}?)\s*", re.ASCII)
_UNSIGNED = ("UNSIGNED-PAYLOAD", "STREAMING-")
"""What S3 clients send in place of a digest, or before more than one word."""


class BadDigest(ValueError):
    """A header does not say what it should. `header` is which."""

    def __init__(self, header: str, message: str) -> None:
        super().__init__(message)
        self.header = header


def expected_sha256(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """In lower-case hex; None if nothing says one. `headers` are found in any case. Raises BadDigest."""
    said = [(name, headers.get(name), read) for name, read in _HEADERS.items()]
    said.append((SHA256, query.get(SHA256), _of_hex))
    first: tuple[str, str] | None = None
    for name, value, read in said:
        digest = None if value is None else read(name, value)
        if digest is None:
            continue
        if first is not None and first[1] != digest:
            raise BadDigest(name, f"is not what {first[0]} says")
        first = first or (name, digest)
    return first[1] if first else None


def _of_hex(name: str, value: str) -> str:
    if not _HEX.fullmatch(value.strip()):
        raise BadDigest(name, "must be a SHA-256: 64 hexadecimal digits")
    return value.strip().lower()


def _of_signature(name: str, value: str) -> str | None:
    return None if value.startswith(_UNSIGNED) else _of_hex(name, value)


def _of_base64(name: str, value: str) -> str:
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32:
        raise BadDigest(name, "must be a SHA-256: 32 bytes in base64")
    return digest.hex()


def _of_dictionary(name: str, value: str) -> str | None:
    """RFC 9530: values between colons."""
    return _of_list(name, value, r":([A-Za-z0-9+/=]*):", "sha-256=:base64:")


def _of_instance(name: str, value: str) -> str | None:
    """RFC 3230, which the other one has replaced: without colons."""
    return _of_list(name, value, r"([A-Za-z0-9+/=]*)", "SHA-256=base64")


def _of_list(name: str, value: str, form: str, example: str) -> str | None:
    found = None
    for member in value.split(","):
        parts = _MEMBER.fullmatch(member)
        content = re.fullmatch(form, parts[2], re.ASCII) if parts else None
        if parts is None or content is None:
            raise BadDigest(name, f"must be like {example}")
        if parts[1].lower() == "sha-256":
            found = _of_base64(name, content[1])
    return found


_HEADERS: Mapping[str, Callable[[str, str], str | None]] = {
    X_CONTENT_SHA256: _of_hex,
    "X-Checksum-SHA256": _of_hex,
    "X-SHA256": _of_hex,
    "X-Amz-Content-SHA256": _of_signature,
    "X-Amz-Checksum-SHA256": _of_base64,
    "Content-Digest": _of_dictionary,
    "Digest": _of_instance,
}
