"""Capabilities: what they open, and that nothing else opens anything."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaibunker.storage.capabilities import (
    AUDIENCE,
    TYPE,
    BadCapability,
    Capability,
    Signer,
    confined,
    derived_key,
    tenant_space,
)
from scaibunker.storage.keys import BadKey, check_key

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEY, OLD = b"k" * 32, b"o" * 32
CAPABILITY = Capability(
    "cap_1",
    "tenants/ten_1/a/",
    frozenset({"PUT", "GET"}),
    100,
    NOW + timedelta(minutes=5),
    "ten_1",
    "usr_1",
)
SIGNER = Signer([KEY], 3600)
CLAIMS: dict[str, Any] = {
    "aud": AUDIENCE,
    "jti": "cap_1",
    "sub": "usr_1",
    "tenant": "ten_1",
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 300,
    "prefix": "tenants/ten_1/a/",
    "methods": ["GET", "PUT"],
    "max_bytes": 100,
}


def signed(key: bytes = KEY, typ: str = TYPE, algorithm: str = "HS256", **changes: Any) -> str:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"typ": typ})


def test_there_and_back() -> None:
    assert SIGNER.verify(SIGNER.sign(CAPABILITY, NOW), NOW) == CAPABILITY
    assert SIGNER.verify(signed(), NOW) == CAPABILITY


def test_it_ends() -> None:
    token = SIGNER.sign(CAPABILITY, NOW)
    SIGNER.verify(token, CAPABILITY.expires_at - timedelta(milliseconds=1))
    for late in (timedelta(0), timedelta(seconds=1), timedelta(days=900)):
        with pytest.raises(BadCapability):
            SIGNER.verify(token, CAPABILITY.expires_at + late)


def test_none_lives_longer_than_it_may() -> None:
    for life, good in ((3600, True), (3601, False), (10**9, False)):
        token = signed(exp=CLAIMS["iat"] + life)
        if good:
            SIGNER.verify(token, NOW)
        else:
            with pytest.raises(BadCapability):
                SIGNER.verify(token, NOW)
    with pytest.raises(BadCapability):  # dated ahead, to live longer from now
        SIGNER.verify(signed(iat=CLAIMS["iat"] + 1000, exp=CLAIMS["iat"] + 4000), NOW)


def test_keys_are_replaced_without_a_pause() -> None:
    before, meanwhile, after = Signer([OLD], 3600), Signer([KEY, OLD], 3600), Signer([KEY], 3600)
    old, new = before.sign(CAPABILITY, NOW), meanwhile.sign(CAPABILITY, NOW)
    assert meanwhile.verify(old, NOW) == after.verify(new, NOW) == CAPABILITY
    with pytest.raises(BadCapability):
        after.verify(old, NOW)
    with pytest.raises(BadCapability):
        before.verify(new, NOW)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "..",
        "é.é.é",
        "x" * 5000,
        signed(OLD),
        signed(typ="JWT"),
        signed(b"k" * 64, algorithm="HS512"),
        signed(aud="other"),
        signed(aud=["scaibunker-storage"]),
        signed(aud=None),
        signed(exp=None),
        signed(iat=None),
        signed(exp="300"),
        signed(exp=float(CLAIMS["exp"])),
        signed(exp=1 << 62),
        signed(exp=-1),
        signed(prefix=None),
        signed(prefix=""),
        signed(prefix="/"),
        signed(prefix="tenants/../x"),
        signed(prefix="x//"),
        signed(prefix=7),
        signed(methods=[]),
        signed(methods=["POST"]),
        signed(methods="GET"),
        signed(methods=None),
        signed(max_bytes=None),
        signed(max_bytes=-1),
        signed(max_bytes=True),
        signed(tenant=None),
        signed(sub=None),
        signed(admin=True),
    ],
)
def test_what_is_no_good_capability(token: str) -> None:
    with pytest.raises(BadCapability):
        SIGNER.verify(token, NOW)


def test_nothing_signed_with_no_key_or_another_algorithm() -> None:
    body = base64.urlsafe_b64encode(json.dumps(CLAIMS).encode()).rstrip(b"=").decode()
    for header in ({"alg": "none", "typ": TYPE}, {"alg": "HS256", "typ": TYPE, "jwk": {"k": "x"}}):
        head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
        for signature in ("", "AAAA"):
            with pytest.raises(BadCapability):
                SIGNER.verify(f"{head}.{body}.{signature}", NOW)


def test_any_change_breaks_it() -> None:
    token = SIGNER.sign(CAPABILITY, NOW)
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    for change in ({"prefix": "tenants/ten_2/"}, {"max_bytes": 10**9}, {"methods": ["DELETE"]}):
        changed = json.dumps({**claims, **change}).encode()
        forged = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
        with pytest.raises(BadCapability):
            SIGNER.verify(f"{head}.{forged}.{signature}", NOW)
    with pytest.raises(BadCapability):
        SIGNER.verify(token[:-2], NOW)


def test_methods() -> None:
    assert [m for m in ("PUT", "GET", "HEAD", "DELETE", "POST") if CAPABILITY.allows(m)] == [
        "PUT",
        "GET",
        "HEAD",
    ]
    assert not replace(CAPABILITY, methods=frozenset({"HEAD"})).allows("GET")


@pytest.mark.parametrize(
    ("prefix", "inside", "outside"),
    [
        ("a/b/", ["a/b/c", "a/b/c/d"], ["a/b", "a/bc", "a/c", "a", "ab/b/c"]),
        ("a/b", ["a/b", "a/b/c"], ["a/bc", "a/b.c", "a", "b"]),
    ],
)
def test_a_prefix_is_whole_segments(prefix: str, inside: list[str], outside: list[str]) -> None:
    capability = replace(CAPABILITY, prefix=prefix)
    assert all(capability.covers(key) for key in inside)
    assert not any(capability.covers(key) for key in outside)


def test_tenants_are_confined() -> None:
    assert tenant_space("ten_1") == "tenants/ten_1/"
    assert confined("tenants/ten_1/", "ten_1")
    assert confined("tenants/ten_1/x", "ten_1")
    for prefix in (
        "tenants/ten_1",
        "tenants/ten_12/",
        "tenants/ten_2/",
        "tenants/",
        "x",
        "scaibunker/",
    ):
        assert not confined(prefix, "ten_1")
    with pytest.raises(BadKey):
        tenant_space("..")


@given(st.text(alphabet="ab./%\\ \n-_", max_size=12))
def test_no_key_gets_out_of_a_prefix(text: str) -> None:
    """What is a key and covered has the prefix's segments as its first ones, and goes nowhere else."""
    try:
        key = check_key(text)
    except BadKey:
        return
    capability = replace(CAPABILITY, prefix="a/b/")
    segments = key.split("/")
    assert capability.covers(key) == (segments[:2] == ["a", "b"] and len(segments) > 2)
    assert not {"", ".", ".."} & set(segments)


def test_derived_keys_differ_from_what_they_come_of() -> None:
    assert derived_key("secret") == derived_key("secret") != derived_key("other")
    assert len(derived_key("s")) == 32
