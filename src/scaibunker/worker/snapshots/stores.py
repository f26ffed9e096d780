"""Which store a worker's settings name."""

from scaibunker.worker import tls
from scaibunker.worker.settings import WorkerSettings
from scaibunker.worker.snapshots.http_store import HttpStore
from scaibunker.worker.snapshots.store import LocalStore, SnapshotStore


def store_of(settings: WorkerSettings) -> SnapshotStore:
    """Where this worker's snapshots are kept: through the proxy or controller that it knows, or else in a
    folder of its own."""
    url = settings.storage_url or settings.controller_url
    if url is None:
        return LocalStore(settings.data_dir / "stored")
    return HttpStore(url, settings.tokens[0], tls.asking(settings))
