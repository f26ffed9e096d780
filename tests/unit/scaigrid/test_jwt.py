"""Which tokens are good. Every attack is refused alike, and nothing of a token is logged."""

import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives import serialization

from scaigrid.auth.jwks import key_set
from scaigrid.auth.jwt import Verifier
from scaigrid.clock import SystemClock
from scaigrid.errors import TokenInvalid, default_message
from scaigrid.settings import JwtSettings
from tests import identity_provider
from tests.identity_provider import Signer, forged

GOOD, OTHER = Signer("good"), Signer("other")
HEADER = {"alg": "RS256", "kid": "good"}
Make = Callable[..., Verifier]


@pytest.fixture
def verifier(tmp_path: Path) -> Make:
    """A verifier whose set has one key."""
    file = tmp_path / "keys with a space.json"
    file.write_bytes(identity_provider.key_set([GOOD.jwk()]))

    def make(**fields: Any) -> Verifier:
        settings = JwtSettings(**{"jwks_url": file.as_uri(), "leeway_s": 10, **fields})
        return Verifier(settings, key_set(settings, SystemClock()))

    return make


async def refused(verifier: Verifier, token: str) -> str:
    """The reason in the log, of a token that must be refused without one."""
    with structlog.testing.capture_logs() as lines, pytest.raises(TokenInvalid) as caught:
        await verifier.subject(token)
    assert caught.value.message == default_message(TokenInvalid)
    assert caught.value.details == []
    [line] = [line for line in lines if line["event"] == "a token is refused"]
    assert line["log_level"] == "info"
    secrets = [part for part in token.split(".") if len(part) > 8]
    assert not any(part in str(lines) for part in secrets)
    return str(line["reason"])


async def test_a_good_token_says_whom_it_speaks_of_and_until_when(verifier: Make) -> None:
    ends = int(time.time()) + 60
    claims = await verifier().subject(GOOD.token(sub="ann", exp=ends))
    assert (claims.subject, claims.expires_at.timestamp()) == ("ann", ends + 10)


async def test_what_else_a_good_token_may_have(verifier: Make) -> None:
    now = int(time.time())
    for token in (
        GOOD.token({"typ": "at+jwt"}),
        GOOD.token({"typ": ""}),  # the library leaves it out
        GOOD.token(exp=now - 5),
        GOOD.token(nbf=now + 5, iat=now + 5),
        GOOD.token(iat=None),
        GOOD.token(exp=10**300),
        GOOD.token(iss="anybody", aud="anything"),
        GOOD.token(scope="x" * 4000),
        GOOD.token({"jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/"}),
    ):
        assert (await verifier().subject(token)).subject == "ann"


async def test_issuer_and_audience_are_held_to_the_settings(verifier: Make) -> None:
    strict = verifier(issuer="https://idp", audience="scaigrid")
    for audience in ("scaigrid", ["other", "scaigrid"]):
        await strict.subject(GOOD.token(iss="https://idp", aud=audience))
    for claims in (
        {},
        {"iss": "https://idp"},
        {"aud": "scaigrid"},
        {"iss": "https://idp/", "aud": "scaigrid"},
        {"iss": ["https://idp"], "aud": "scaigrid"},
        {"iss": "https://idp", "aud": "other"},
        {"iss": "https://idp", "aud": []},
        {"iss": "https://idp", "aud": {"scaigrid": 1}},
        {"iss": "https://idp", "aud": ["scaigrid", 7]},
        {"iss": "https://idp", "aud": "scaigrid2"},
    ):
        await refused(strict, _signed(claims))


def _signed(claims: dict[str, Any]) -> str:
    """A token with claims that the library would not let one make."""
    now = int(time.time())
    header = {"alg": "RS256", "kid": "good", "typ": "JWT"}
    return _by_hand(header, {"sub": "ann", "exp": now + 300, **claims})


def _by_hand(header: Any, payload: Any) -> str:
    unsigned = forged(header, payload).rpartition(".")[0]
    signature = jwt.get_algorithm_by_name("RS256").sign(unsigned.encode(), GOOD.private)
    return f"{unsigned}.{forged(b'', b'', signature).rpartition('.')[2]}"


async def test_a_token_made_by_hand_is_good(verifier: Make) -> None:
    """What is refused below is refused for what is wrong with it."""
    for token in (_signed({}), _by_hand(HEADER, _claims())):
        assert (await verifier().subject(token)).subject == "ann"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 11},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": -(10**400)},
        {"exp": [9999999999]},
        {"exp": {}},
        {"nbf": int(time.time()) + 86_400},
        {"nbf": "never"},
        {"iat": int(time.time()) + 86_400},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": ["ann"]},
        {"sub": "a" * 256},
        {"sub": "a\x00"},
        {"sub": "\ud800"},
        {"sub": "ann\n"},
        {"jti": 7},
    ],
    ids=lambda claims: next(iter(claims)),  # not the time: each process collects at its own
)
async def test_claims_that_are_refused(verifier: Make, claims: dict[str, Any]) -> None:
    await refused(verifier(), _signed(claims))


async def test_a_claim_that_is_missing(verifier: Make) -> None:
    for name in ("exp", "sub"):
        token = GOOD.token(**{name: None})
        assert await refused(verifier(), token) == "MissingRequiredClaimError"


def _public_pem() -> bytes:
    return GOOD.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _hs256(secret: bytes) -> str:
    """Signed with something that everybody knows."""
    unsigned = forged({"alg": "HS256", "kid": "good"}, _claims()).rpartition(".")[0]
    signature = hmac.digest(secret, unsigned.encode(), hashlib.sha256)
    return f"{unsigned}.{forged(b'', b'', signature).rpartition('.')[2]}"


def _claims() -> dict[str, Any]:
    return {"sub": "ann", "exp": int(time.time()) + 300}


def _tampered(part: int) -> str:
    """One byte in the middle of a part is another one."""
    parts = GOOD.token().split(".")
    text = parts[part]
    middle = len(text) // 2
    parts[part] = text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]
    return ".".join(parts)


def _own_key(name: str, value: Any) -> str:
    """Signed with a key that the token itself brings."""
    return OTHER.token({"kid": "good", name: value})


ATTACKS: dict[str, Callable[[], str]] = {
    "none": lambda: forged({"alg": "none", "kid": "good"}, _claims()),
    "None": lambda: forged({"alg": "None", "kid": "good"}, _claims()),
    "none without a signature": lambda: forged({**HEADER, "alg": "none"}, _claims(), b""),
    "no signature": lambda: forged(HEADER, _claims(), b""),
    "no algorithm": lambda: forged({"kid": "good"}, _claims()),
    "algorithm of another type": lambda: forged({**HEADER, "alg": ["RS256"]}, _claims()),
    "HS256 with the public key": lambda: _hs256(_public_pem()),
    "HS256 with nothing": lambda: _hs256(b""),
    "RS512": lambda: jwt.encode(_claims(), GOOD.private, "RS512", {"kid": "good"}),
    "PS256": lambda: jwt.encode(_claims(), GOOD.private, "PS256", {"kid": "good"}),
    "signed by another": lambda: OTHER.token({"kid": "good"}),
    "unknown key": lambda: OTHER.token(),
    "brings its key": lambda: _own_key("jwk", OTHER.jwk(kid="good")),
    "says where its key is": lambda: _own_key("jku", "http://127.0.0.1:9/keys"),
    "no key": lambda: jwt.encode(_claims(), GOOD.private, "RS256"),
    "empty key id": lambda: GOOD.token({"kid": ""}),
    "long key id": lambda: GOOD.token({"kid": "k" * 257}),
    "key id of another type": lambda: _by_hand({"alg": "RS256", "kid": ["good"]}, _claims()),
    "key id as a path": lambda: GOOD.token({"kid": "../../dev/null"}),
    "tampered header": lambda: _tampered(0),
    "tampered payload": lambda: _tampered(1),
    "tampered signature": lambda: _tampered(2),
    "unknown critical header": lambda: _by_hand({**HEADER, "crit": ["b64x"], "b64x": 1}, _claims()),
    "detached payload": lambda: _by_hand({**HEADER, "crit": ["b64"], "b64": False}, _claims()),
    "logout token": lambda: GOOD.token({"typ": "logout+jwt"}),
    "type of another type": lambda: _by_hand({**HEADER, "typ": 1}, _claims()),
    "nested token": lambda: _by_hand({**HEADER, "cty": "JWT"}, GOOD.token().encode()),
    "payload is a list": lambda: _by_hand(HEADER, [_claims()]),
    "payload is text": lambda: _by_hand(HEADER, b"ann"),
    "payload is deep": lambda: _by_hand(HEADER, b"[" * 3000),
    "payload is no UTF-8": lambda: _by_hand(HEADER, b"\xff\xff"),
    "header is deep": lambda: forged(b'{"a":' * 900, _claims()),
    "header is a list": lambda: forged(["RS256"], _claims()),
    "header is null": lambda: forged(None, _claims()),
    "header is no JSON": lambda: forged(b"\xff\x00\xff", _claims()),
    "header has a long number": lambda: forged(b'{"a":' + b"9" * 5000 + b"}", _claims()),
    "oversized": lambda: GOOD.token(scope="x" * 8192),
    "four parts": lambda: GOOD.token() + ".e30",
    "two parts": lambda: GOOD.token().rpartition(".")[0],
    "padding": lambda: GOOD.token() + "==",
    "space": lambda: GOOD.token().replace(".", ". "),
    "line end": lambda: GOOD.token() + "\n",
    "not ASCII": lambda: GOOD.token()[:-1] + "ä",
    "dots": lambda: "..",
    "nothing": lambda: "",
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_attacks(verifier: Make, attack: str) -> None:
    await refused(verifier(), ATTACKS[attack]())


async def test_without_a_key_set_every_token_is_refused(verifier: Make) -> None:
    assert await refused(verifier(jwks_url=None), GOOD.token()) == "there is no key set"


async def test_a_short_key_of_the_set_verifies_nothing(verifier: Make, tmp_path: Path) -> None:
    short = Signer("short", 1024)
    file = tmp_path / "short.json"
    file.write_bytes(identity_provider.key_set([short.jwk(), GOOD.jwk()]))
    weak = verifier(jwks_url=file.as_uri())
    assert await refused(weak, short.token()) == "its key is not in the set"
    assert (await weak.subject(GOOD.token())).subject == "ann"
