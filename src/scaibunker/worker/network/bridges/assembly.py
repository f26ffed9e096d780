"""This host's bridges, and the networks on them; none, if networks are switched off or the host lacks what they need."""

from collections.abc import Sequence

import structlog

from scaibunker.worker.network import netns
from scaibunker.worker.network.bridges import trial
from scaibunker.worker.network.bridges.host import HostBridges
from scaibunker.worker.network.bridges.none import NoBridges
from scaibunker.worker.network.bridges.port import Bridges
from scaibunker.worker.network.bridges.records import Records
from scaibunker.worker.network.bridges.transit import TransitNetworks
from scaibunker.worker.network.naming import Names
from scaibunker.worker.network.port import Networks
from scaibunker.worker.settings import WorkerSettings

log = structlog.get_logger(__name__)


async def open_bridges(
    settings: WorkerSettings, worker_id: str
) -> tuple[Bridges, Sequence[Networks]]:
    """Those that an earlier daemon left are found; beside them the networks that can be given on them."""
    if not settings.network.enabled:
        return NoBridges(), ()
    lacking = await netns.outside(trial.missing)
    if lacking is not None:
        log.error("bridges_unavailable", reason=f"the host lacks {lacking}")
        return NoBridges(), ()
    bridges = HostBridges(Records(settings.data_dir / "bridges"), Names.of(worker_id))
    await bridges.find()
    return bridges, (TransitNetworks(bridges, settings.network.bandwidth_mbit),)
