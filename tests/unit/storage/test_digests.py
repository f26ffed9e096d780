"""What a request says of its body's SHA-256."""

import base64
import hashlib

import pytest
from starlette.datastructures import Headers

from scaibunker.storage.digests import BadDigest, expected_sha256

SUM = hashlib.sha256(b"x")
HEX = SUM.hexdigest()
BASE64 = base64.b64encode(SUM.digest()).decode()
FIELD = f"sha-256=:{BASE64}:"
OTHER = f"sha-512=:{base64.b64encode(b'y' * 64).decode()}:"
PLAIN, STANDARD = "X-Content-SHA256", "Content-Digest"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({PLAIN: HEX}, HEX),
        ({PLAIN: HEX.upper()}, HEX),
        ({PLAIN.lower(): f" {HEX} "}, HEX),
        ({STANDARD: FIELD}, HEX),
        ({STANDARD: f"{OTHER}, {FIELD}"}, HEX),
        ({STANDARD: OTHER}, None),
        ({PLAIN: HEX, STANDARD: FIELD}, HEX),
        ({PLAIN: HEX, STANDARD: OTHER}, HEX),
        ({"Digest": f"MD5=HUXZLQLMuI/KZ5KDcJPcOA==, SHA-256={BASE64}"}, HEX),
        ({"Digest": f"sha-256={BASE64}"}, HEX),
        ({"X-Checksum-SHA256": HEX}, HEX),
        ({"x-amz-checksum-sha256": BASE64}, HEX),
        ({"x-amz-content-sha256": HEX}, HEX),
        ({"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, None),
        ({"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, None),
    ],
)
def test_said(headers: dict[str, str], expected: str | None) -> None:
    assert expected_sha256(Headers(headers), {}) == expected


def test_said_in_the_query() -> None:
    assert expected_sha256({}, {"sha256": HEX}) == HEX
    with pytest.raises(BadDigest) as refusal:
        expected_sha256(Headers({PLAIN: "0" * 64}), {"sha256": HEX})
    assert refusal.value.header == "sha256"


@pytest.mark.parametrize(
    ("headers", "header"),
    [
        ({PLAIN: ""}, PLAIN),
        ({PLAIN: HEX[:-1]}, PLAIN),
        ({PLAIN: HEX + "0"}, PLAIN),
        ({PLAIN: "g" * 64}, PLAIN),
        ({STANDARD: ""}, STANDARD),
        ({STANDARD: HEX}, STANDARD),
        ({STANDARD: f"sha-256={BASE64}"}, STANDARD),
        ({STANDARD: "sha-256=::"}, STANDARD),
        ({STANDARD: "sha-256=:eHg=:"}, STANDARD),
        ({STANDARD: "sha-256=:=====:"}, STANDARD),
        ({PLAIN: "0" * 64, STANDARD: FIELD}, STANDARD),
        ({"Digest": FIELD}, "Digest"),
        ({"X-Checksum-SHA256": BASE64}, "X-Checksum-SHA256"),
        ({"x-amz-checksum-sha256": HEX}, "X-Amz-Checksum-SHA256"),
        ({"x-amz-content-sha256": "what"}, "X-Amz-Content-SHA256"),
    ],
)
def test_not_said_as_it_should_be(headers: dict[str, str], header: str) -> None:
    with pytest.raises(BadDigest) as refusal:
        expected_sha256(Headers(headers), {})
    assert refusal.value.header == header
