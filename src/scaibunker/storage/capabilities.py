"""Capabilities: signed permissions to use a part of the store for a while. Pure.

A capability says all there is to know of it, so that whoever has the key can check it without asking
anybody: JWT, HS256, with an audience and a type of its own, so that it is good for nothing else and
nothing else is good for it. See docs/decisions/0014.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import jwt
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from scaibunker.storage.keys import MAX_KEY, BadKey, check_key, check_prefix

Method = Literal["PUT", "GET", "HEAD", "DELETE"]

AUDIENCE = "scaibunker-storage"
TYPE = "storage-capability+jwt"
ALGORITHM = "HS256"
MAX_TOKEN = 4096
"""Characters."""
MAX_BYTES = 1 << 50
SKEW = timedelta(seconds=30)
"""How far the clocks of who signs and who checks may be apart."""
_DERIVED = b"scaibunker storage capabilities"


class BadCapability(Exception):
    """It is none, or nobody here has signed it, or it has expired."""


@dataclass(frozen=True, slots=True)
class Capability:
    """What its bearer may do: these methods on keys below `prefix`, or on that key alone if it does
    not end with a slash, and with bodies of `max_bytes`. Whoever may GET may also HEAD."""

    id: str
    prefix: str
    methods: frozenset[Method]
    max_bytes: int
    expires_at: datetime
    tenant_id: str
    user_id: str

    def allows(self, method: str) -> bool:
        """Whether a method is among its own."""
        return method in self.methods or (method == "HEAD" and "GET" in self.methods)

    def covers(self, key: str) -> bool:
        """Whether a key, which is one, is in its part of the store. Prefixes are whole segments."""
        folder = self.prefix.removesuffix("/")
        return key.startswith(f"{folder}/") or key == self.prefix


class _Claims(BaseModel):
    """What is in a token. Nothing in it is believed before the signature is."""

    model_config = ConfigDict(extra="forbid")

    aud: Literal["scaibunker-storage"]
    jti: Annotated[StrictStr, Field(min_length=1, max_length=64)]
    sub: Annotated[StrictStr, Field(min_length=1, max_length=255)]
    tenant: Annotated[StrictStr, Field(min_length=1, max_length=64)]
    iat: Annotated[StrictInt, Field(ge=0, le=1 << 40)]
    exp: Annotated[StrictInt, Field(ge=0, le=1 << 40)]
    prefix: Annotated[StrictStr, Field(min_length=1, max_length=MAX_KEY + 1)]
    methods: Annotated[list[Method], Field(min_length=1, max_length=4)]
    max_bytes: Annotated[StrictInt, Field(ge=0, le=MAX_BYTES)]


class Signer:
    """Signs capabilities with the first of its keys, and takes those that any of them has signed.

    None lives longer than `max_lifetime_s`, whatever it says.
    """

    def __init__(self, keys: Sequence[bytes], max_lifetime_s: int) -> None:
        self._keys = tuple(keys)
        self._max_lifetime = timedelta(seconds=max_lifetime_s)

    def sign(self, capability: Capability, now: datetime) -> str:
        """The token."""
        check_prefix(capability.prefix)
        claims = _Claims(
            aud=AUDIENCE,
            jti=capability.id,
            sub=capability.user_id,
            tenant=capability.tenant_id,
            iat=int(now.timestamp()),
            exp=int(capability.expires_at.timestamp()),
            prefix=capability.prefix,
            methods=sorted(capability.methods),
            max_bytes=capability.max_bytes,
        )
        return jwt.encode(
            claims.model_dump(), self._keys[0], algorithm=ALGORITHM, headers={"typ": TYPE}
        )

    def verify(self, token: str, now: datetime) -> Capability:
        """What the token allows now. Raises BadCapability."""
        if len(token) > MAX_TOKEN:
            raise BadCapability("it is too long")
        try:
            if jwt.get_unverified_header(token) != {"alg": ALGORITHM, "typ": TYPE}:
                raise BadCapability("it is a token for something else")
            claims = _Claims.model_validate(self._payload(token))
            check_prefix(claims.prefix)
            issued, ends = _time(claims.iat), _time(claims.exp)
        except BadCapability:
            raise
        except (jwt.PyJWTError, ValidationError, BadKey, ValueError, TypeError) as error:
            raise BadCapability(type(error).__name__) from None
        if now >= ends or issued > now + SKEW or ends - issued > self._max_lifetime:
            raise BadCapability("its time is over, or is not one")
        return Capability(
            id=claims.jti,
            prefix=claims.prefix,
            methods=frozenset(claims.methods),
            max_bytes=claims.max_bytes,
            expires_at=ends,
            tenant_id=claims.tenant,
            user_id=claims.sub,
        )

    def _payload(self, token: str) -> dict[str, Any]:
        for key in self._keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=[ALGORITHM],
                    audience=AUDIENCE,
                    # Times are judged by our caller's clock.
                    options={"verify_exp": False, "verify_iat": False, "verify_sub": False},
                )
            except jwt.InvalidSignatureError:
                continue
        raise BadCapability("none of our keys has signed it")


def derived_key(secret: str) -> bytes:
    """A key for capabilities from a secret that both sides have for something else."""
    return hmac.digest(secret.encode(), _DERIVED, hashlib.sha256)


def confined(prefix: str, tenant_id: str) -> bool:
    """Whether a prefix is in the tenant's own part of the store."""
    return prefix.startswith(tenant_space(tenant_id))


def tenant_space(tenant_id: str) -> str:
    """Where a tenant's own objects are."""
    return f"{check_key(f'tenants/{tenant_id}')}/"


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
