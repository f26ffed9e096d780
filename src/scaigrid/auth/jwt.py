"""Tokens of an identity provider: from a JWT to whom it speaks of.

A token is refused without a reason: the reason is in the log, the token is not. Only RS256 is
taken, and only a key of the configured set: what a token says of its own key (`jwk`, `jku`, `x5u`,
`x5c`) is not looked at.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from scaigrid.auth.jwk import ALGORITHM, MAX_KID
from scaigrid.auth.jwks import KeySet
from scaigrid.errors import TokenInvalid
from scaigrid.settings import JwtSettings

log = structlog.get_logger(__name__)

MAX_BYTES = 8 * 1024
MAX_SUBJECT = 255
"""Characters of a subject; what `users.subject` takes."""
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""What `typ` may be. A provider signs other things with the same keys, such as logout tokens."""
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says: whom it speaks of, and until when; the leeway is in it."""

    subject: str
    expires_at: datetime


def has_shape(token: str) -> bool:
    """Whether it could be such a token at all."""
    return len(token) <= MAX_BYTES and _SHAPE.fullmatch(token) is not None


class Verifier:
    """Verifies tokens. Without a key set there is no good one."""

    def __init__(self, settings: JwtSettings, keys: KeySet | None) -> None:
        self._issuer = settings.issuer
        self._audience = settings.audience
        self._leeway_s = settings.leeway_s
        self._keys = keys

    async def subject(self, token: str) -> Claims:
        """What the token says. Raises TokenInvalid, or AuthUnavailable if that cannot be told."""
        if self._keys is None:
            raise _refused("there is no key set")
        if not has_shape(token):
            raise _refused("it has not the shape of a token")
        kid = _kid(_header(token))
        key = await self._keys.key(kid)
        if key is None:
            raise _refused("its key is not in the set")
        return self._claims(token, key)

    def _claims(self, token: str, key: RSAPublicKey) -> Claims:
        try:
            payload = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway_s,
                options={
                    "require": ["exp", "sub"],
                    "verify_aud": self._audience is not None,
                    "verify_iss": self._issuer is not None,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise _refused(type(error).__name__) from None
        subject = payload["sub"]
        if not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
            raise _refused("its subject cannot be a user's")
        ends = min(int(payload["exp"]) + self._leeway_s, _END_OF_TIME)
        return Claims(subject, datetime.fromtimestamp(ends, UTC))


def _header(token: str) -> Mapping[str, Any]:
    """The header, which nothing vouches for yet."""
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise _refused(type(error).__name__) from None


def _kid(header: Mapping[str, Any]) -> str:
    """The id of the key that a header names."""
    if header.get("alg") != ALGORITHM:
        raise _refused("it is not signed with RS256")
    kind = header.get("typ", "jwt")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise _refused("it is a token for something else")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise _refused("it names no key")
    return kid


def _refused(reason: str) -> TokenInvalid:
    log.info("a token is refused", reason=reason)
    return TokenInvalid()
