"""The uploader of a worker daemon."""

from collections.abc import Callable, Collection
from pathlib import Path

from scaibunker.worker.gateway.tally import Tally
from scaibunker.worker.network.audit.folders import Folders
from scaibunker.worker.network.audit.store import batch_store_of
from scaibunker.worker.network.audit.uploader import Uploader
from scaibunker.worker.settings import WorkerSettings


async def upload(
    settings: WorkerSettings,
    spools: Path,
    living: Callable[[], Collection[str]],
    *,
    networked: bool,
    tally: Tally,
) -> None:
    """Bring what is in `spools` to the storage that the settings name, until cancelled. Returns at once if they name
    none, or if nothing is there and nothing comes (not `networked`). `tally` is told how many batches wait."""
    store = batch_store_of(settings)
    if store is not None and (networked or spools.exists()):
        await Uploader(Folders(spools), store, living, tally=tally).run()
