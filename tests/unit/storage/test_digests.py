"""What a request says of its body's SHA-256."""

import base64
import hashlib

import pytest

from scaibunker.storage.digests import BadDigest, expected_sha256

SUM = hashlib.sha256(b"x")
HEX = SUM.hexdigest()
FIELD = f"sha-256=:{base64.b64encode(SUM.digest()).decode()}:"
OTHER = f"sha-512=:{base64.b64encode(b'y' * 64).decode()}:"


@pytest.mark.parametrize(
    ("plain", "standard", "expected"),
    [
        (None, None, None),
        (HEX, None, HEX),
        (HEX.upper(), None, HEX),
        (None, FIELD, HEX),
        (None, f"{OTHER}, {FIELD}", HEX),
        (None, OTHER, None),
        (HEX, FIELD, HEX),
        (HEX, OTHER, HEX),
    ],
)
def test_said(plain: str | None, standard: str | None, expected: str | None) -> None:
    assert expected_sha256(plain, standard) == expected


@pytest.mark.parametrize(
    ("plain", "standard", "header"),
    [
        ("", None, "X-Content-SHA256"),
        (HEX[:-1], None, "X-Content-SHA256"),
        (HEX + "0", None, "X-Content-SHA256"),
        ("g" * 64, None, "X-Content-SHA256"),
        (None, "", "Content-Digest"),
        (None, HEX, "Content-Digest"),
        (None, "sha-256=::", "Content-Digest"),
        (None, "sha-256=:eHg=:", "Content-Digest"),
        (None, "sha-256=:=====:", "Content-Digest"),
        ("0" * 64, FIELD, "Content-Digest"),
    ],
)
def test_not_said_as_it_should_be(plain: str | None, standard: str | None, header: str) -> None:
    with pytest.raises(BadDigest) as refusal:
        expected_sha256(plain, standard)
    assert refusal.value.header == header
