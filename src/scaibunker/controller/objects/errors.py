"""What callers are told of objects and their store."""

import contextlib
from collections.abc import Iterator

from scaibunker.storage.errors import (
    KeyTaken,
    NoSuchObject,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from scaibunker.wire.codes import Code
from scaigrid.errors import GridError, Kind, ValidationFailed


class ObjectNotFound(GridError):
    """There is no such object."""

    kind = Kind.NOT_FOUND
    code = Code.OBJECT_NOT_FOUND


class StorageUnavailable(GridError):
    """The object store does not answer as it should. What was to be stored is not; what was there is
    unchanged."""

    kind = Kind.UNAVAILABLE
    code = Code.STORAGE_UNAVAILABLE
    hint = "Try again after `retry_after` seconds."


class StorageFull(GridError):
    """The object store has no room left."""

    kind = Kind.NO_SPACE
    code = Code.STORAGE_FULL
    hint = "Delete objects, or tell the operator."


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Have the store's errors raised as what callers are told."""
    try:
        yield
    except NoSuchObject:
        raise ObjectNotFound from None
    except StoreFull:
        raise StorageFull from None
    except KeyTaken:
        raise ValidationFailed.of(
            "key", "this store has an object where the key has a folder, or a folder in its place"
        ) from None
    except StoreError:
        raise StorageUnavailable(retry_after=StoreUnavailable.retry_after) from None
