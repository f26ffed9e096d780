"""Which keys of a set may verify tokens."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from scaigrid.auth import jwk
from tests.identity_provider import Signer, key_set

GOOD = Signer("good")


def test_the_keys_of_a_set_are_found_by_their_ids() -> None:
    bare = {name: GOOD.jwk()[name] for name in ("kty", "n", "e")}
    entries = [GOOD.jwk(), {**bare, "kid": "bare"}, GOOD.jwk(kid="ops", key_ops=["verify"])]
    found = jwk.parse(key_set(entries))
    assert set(found) == {"good", "bare", "ops"}
    assert found["good"] == GOOD.private.public_key()


def _elliptic() -> dict[str, Any]:
    made = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    return {**made, "kid": "bad"}


def _private() -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(GOOD.private, as_dict=True), "kid": "bad", "key_ops": ["verify"]}


@pytest.mark.parametrize(
    "entry",
    [
        GOOD.jwk(kid="bad", use="enc"),
        GOOD.jwk(kid="bad", use=None),
        GOOD.jwk(kid="bad", alg="RS512"),
        GOOD.jwk(kid="bad", alg="none"),
        GOOD.jwk(kid="bad", alg=["RS256"]),
        GOOD.jwk(kid="bad", key_ops=["sign"]),
        GOOD.jwk(kid="bad", key_ops="verify"),
        GOOD.jwk(kid="bad", kty="oct", k="c2VjcmV0"),
        GOOD.jwk(kid="bad", n="AQAB"),
        GOOD.jwk(kid="bad", n="ä" * 400),
        GOOD.jwk(kid="bad", n=7),
        GOOD.jwk(kid="bad", e=""),
        GOOD.jwk(kid="bad", e="AA"),
        GOOD.jwk(kid="bad", n="f" * 3000),  # 18,000 bits
        {"kty": "RSA", "kid": "bad"},
        GOOD.jwk(kid=""),
        GOOD.jwk(kid="k" * 257),
        GOOD.jwk(kid=["bad"]),
        GOOD.jwk(kid=None),
        Signer("bad", 1024).jwk(),
        _elliptic(),
        _private(),
        "bad",
        None,
        [],
    ],
)
def test_a_key_for_something_else_is_left_out_and_spoils_nothing(entry: Any) -> None:
    assert set(jwk.parse(key_set([entry, GOOD.jwk()]))) == {"good"}


def test_an_id_of_two_keys_names_neither() -> None:
    other = Signer("other")
    entries = [GOOD.jwk(), other.jwk(kid="good"), other.jwk(), GOOD.jwk()]
    assert set(jwk.parse(key_set(entries))) == {"other"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"[]",
        b"null",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": null}',
        key_set([GOOD.jwk(kid=str(n)) for n in range(65)]),
        key_set([GOOD.jwk()]) + b" " * 256 * 1024,
        b'{"keys": [], "n": ' + b"9" * 100_000 + b"}",
    ],
    ids=range(12),
)
def test_what_is_no_set_is_refused(content: bytes) -> None:
    with pytest.raises(jwk.BadKeySet):
        jwk.parse(content)


def test_a_set_may_be_as_large_as_it_says() -> None:
    content = json.dumps({"keys": [GOOD.jwk(kid=str(n)) for n in range(64)]}).encode()
    assert len(jwk.parse(content + b" " * (256 * 1024 - len(content)))) == 64
