"""API keys: what they look like and when they are good."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

PREFIX = "sgk_"
SHOWN = 12
"""Characters of a key that listings show, prefix included."""
_SHAPE = re.compile(r"sgk_[A-Za-z0-9_-]{32,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key's record; the secret itself is nowhere."""

    id: str
    tenant_id: str
    user_id: str
    name: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_good(self, now: datetime) -> bool:
        """Whether it still opens the door."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def new_secret() -> str:
    """A fresh key: 43 random characters after the prefix."""
    return PREFIX + secrets.token_urlsafe(32)


def has_shape(secret: str) -> bool:
    """Whether it could be a key at all."""
    return _SHAPE.fullmatch(secret) is not None


def digest(secret: str) -> str:
    """What is stored in its place. The key has 256 random bits, so a plain hash suffices."""
    return hashlib.sha256(secret.encode()).hexdigest()
