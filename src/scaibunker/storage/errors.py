"""What can go wrong with objects, and what the backends' own errors mean.

The text of a backend's error stays in the logs: it may name hosts, and what a server says.
"""

import contextlib
from collections.abc import Iterator

import structlog
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 5.0
MAX_LOGGED = 400
"""Characters of a backend's error in a log line."""
_FULL = (
    "(os error 28)",
    "(os error 122)",
    "507 Insufficient Storage",
    "StorageFull",
    "QuotaExceeded",
)
"""No space, or no quota: of a local disk, and as servers put it."""
_NOT_A_DIRECTORY = "(os error 20)"
_IS_A_DIRECTORY = "(os error 21)"


class StoreError(Exception):
    """Something is wrong with an object or its store."""


class BadStoreUrl(ValueError):
    """The URL names no object store that is supported."""


class BadEndpoint(BadStoreUrl):
    """It is the address of the server that is wrong."""


class NoSuchObject(StoreError):
    """There is no object of that key."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, is too slow, or refuses us. It is worth trying again after
    `retry_after` seconds; nothing has changed, or an upload has not become an object."""

    retry_after = RETRY_AFTER_S


class StoreFull(StoreError):
    """The store has no room left."""


class BrokenObject(StoreError):
    """The store has given other bytes, or fewer, than it has been given."""


class KeyTaken(StoreError):
    """A local directory cannot hold an object below another one, or in the place of a folder."""


@contextlib.contextmanager
def translated(key: str) -> Iterator[None]:
    """Have a backend's errors raised as ours; but what comes of a condition of our own goes on."""
    try:
        yield
    except PreconditionError:
        raise
    except FileNotFoundError as error:
        text = str(error)
        if "<Code>" in text and "<Code>NoSuchKey</Code>" not in text:
            raise _meaning(
                error, key
            ) from None  # it is the bucket that is not there, or our account
        raise NoSuchObject(key) from None
    except (BaseError, OSError) as error:
        raise _meaning(error, key) from None


def _meaning(error: Exception, key: str) -> StoreError:
    text = str(error)
    if _NOT_A_DIRECTORY in text or _IS_A_DIRECTORY in text:
        return KeyTaken(key)
    is_full = any(mark in text for mark in _FULL)
    found: StoreError = StoreFull(key) if is_full else StoreUnavailable(key)
    refused = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    log.warning(
        "object store refuses its credentials" if refused else "object store failed",
        key=key,
        meaning=type(found).__name__,
        error=" ".join(text.split())[:MAX_LOGGED],
    )
    return found
