"""What is kept of a request that carries an idempotency key, and which answers are kept."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

KEPT_FOR = timedelta(hours=24)
LEASE = timedelta(seconds=30)
"""How long a request counts as being worked on after its process last said so."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)

NOT_KEPT = frozenset({401, 403, 413, 429, 500, 503})
"""Statuses after which nothing was done, or which a later attempt may well turn into a success."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A request under its key. `status` is None while it is being worked on, and 0 if it is done
    but its answer was not kept."""

    id: str
    fingerprint: str
    token: str
    lease_until: datetime
    expires_at: datetime
    status: int | None
    media_type: str | None
    body: bytes | None


def is_key(value: str) -> bool:
    """Whether it can be an idempotency key: 1 to 255 visible ASCII characters."""
    return _KEY.fullmatch(value) is not None


def entry_id(user_id: str, key: str) -> str:
    """The id of a caller's key: keys of different callers have nothing to do with each other."""
    return _hash(user_id.encode(), key.encode())


def fingerprint(method: str, target: str, body: bytes) -> str:
    """What makes two requests the same request."""
    return _hash(method.encode(), target.encode(), body)


def is_kept(status: int) -> bool:
    """Whether an answer is given again."""
    return status not in NOT_KEPT


def _hash(*parts: bytes) -> str:
    made = hashlib.sha256()
    for part in parts:
        made.update(len(part).to_bytes(8) + part)
    return made.hexdigest()
