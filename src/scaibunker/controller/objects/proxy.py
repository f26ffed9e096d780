"""`SCAIGRID_MODE=bunker_proxy`: the storage operations alone, without database and Redis."""

from collections.abc import Sequence

from scaibunker.controller.objects import grants
from scaibunker.controller.objects.routes import StorageEndpoints
from scaibunker.controller.objects.store import open_store
from scaibunker.controller.objects.transfer import Objects
from scaibunker.controller.settings import StorageSettings, WorkerSettings
from scaigrid.health.probe import Probe
from scaigrid.http.routes import Routes
from scaigrid.module import Standalone, StandalonePlatform
from scaigrid.settings import read_section

PORT = 8001


class StorageProxy:
    """The operations, and the store that they stand on."""

    def __init__(
        self, platform: StandalonePlatform, storage: StorageSettings, worker_tokens: tuple[str, ...]
    ) -> None:
        self._store = open_store(storage)
        objects = Objects(self._store, storage, platform.metrics)
        access = grants.access(grants.signer(storage, worker_tokens), worker_tokens)
        self.routes: Sequence[Routes] = [StorageEndpoints(objects, access).routes()]
        self.probes: Sequence[Probe] = [Probe("object store", self._look, needed=True)]

    async def _look(self) -> Sequence[str]:
        await self._store.ping()
        return ()


def _assemble(platform: StandalonePlatform) -> StorageProxy:
    tokens = read_section(WorkerSettings).tokens
    return StorageProxy(platform, read_section(StorageSettings), tokens)


STANDALONE = Standalone("bunker_proxy", PORT, _assemble)
