"""The SHA-256 that a request says its body has. Pure.

`X-Content-SHA256` has it in hex; `Content-Digest` (RFC 9530) as `sha-256=:base64:`, among others maybe.
"""

import base64
import binascii
import re

X_CONTENT_SHA256 = "X-Content-SHA256"
CONTENT_DIGEST = "Content-Digest"
_HEX = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_MEMBER = re.compile(r"\s*([a-z0-9*_.-]{1,64})\s*=\s*:([A-Za-z0-9+/=]{0,256}):\s*", re.ASCII)


class BadDigest(ValueError):
    """A header does not say what it should. `header` is which."""

    def __init__(self, header: str, message: str) -> None:
        super().__init__(message)
        self.header = header


def expected_sha256(x_content_sha256: str | None, content_digest: str | None) -> str | None:
    """In lower-case hex; None if neither header has one. Raises BadDigest."""
    plain = None
    if x_content_sha256 is not None:
        if not _HEX.fullmatch(x_content_sha256.strip()):
            raise BadDigest(X_CONTENT_SHA256, "must be a SHA-256: 64 hexadecimal digits")
        plain = x_content_sha256.strip().lower()
    standard = None if content_digest is None else _of_dictionary(content_digest)
    if plain is not None and standard is not None and plain != standard:
        raise BadDigest(CONTENT_DIGEST, f"is not what {X_CONTENT_SHA256} says")
    return plain or standard


def _of_dictionary(header: str) -> str | None:
    found = None
    for member in header.split(","):
        parts = _MEMBER.fullmatch(member)
        if parts is None:
            raise BadDigest(CONTENT_DIGEST, "must be like sha-256=:base64:")
        if parts[1] == "sha-256":
            try:
                digest = base64.b64decode(parts[2], validate=True)
            except (binascii.Error, ValueError):
                digest = b""
            if len(digest) != 32:
                raise BadDigest(CONTENT_DIGEST, "sha-256 must be 32 bytes in base64")
            found = digest.hex()
    return found
