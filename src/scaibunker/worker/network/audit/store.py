"""Where batches of records are kept: objects beside the snapshots, through a controller or a storage proxy."""

import re
from collections.abc import AsyncIterator
from typing import Protocol

from scaibunker.worker import tls
from scaibunker.worker.settings import WorkerSettings
from scaibunker.worker.snapshots.http_store import HttpStore

PATH = "/v1/modules/scaibunker/storage/scaibunker/audit/"
_BUNKER, _BATCH = r"[a-z]{3}_[A-Za-z0-9]{1,40}", r"[0-9]{16}-[0-9]{1,10}\.ndjson"
BUNKER = re.compile(rf"{_BUNKER}\Z", re.ASCII)
BATCH = re.compile(rf"{_BATCH}\Z", re.ASCII)
"""`<ts_us>-<pid>.ndjson`"""
NAME = re.compile(rf"{_BUNKER}/{_BATCH}\Z", re.ASCII)
"""`<bunker id>/<batch>`: nothing else becomes a key."""


class BatchStore(Protocol):
    """To store the same batch twice is as good as once."""

    async def put(self, name: str, chunks: AsyncIterator[bytes], *, size: int, sha256: str) -> None:
        """Keep what comes, which must have that size and checksum. Raises StoreAway, WorkerFault."""
        ...


def batch_store_of(settings: WorkerSettings) -> BatchStore | None:
    """None: this worker knows of no storage, and what there is no room for on its disk is dropped and counted."""
    url = settings.storage_url or settings.controller_url
    if url is None:
        return None
    return HttpStore(url, settings.tokens[0], tls.asking(settings), path=PATH, names=NAME)
