"""This host's bridges, and the networks on them; none, if networks are switched off or the host lacks what they need."""

from collections.abc import Sequence

import structlog

from scaibunker.wire.worker.network import InterfaceOrder
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import netns
from scaibunker.worker.network.bridges import layout
from scaibunker.worker.network.bridges.host import HostBridges
from scaibunker.worker.network.bridges.names import port_of
from scaibunker.worker.network.bridges.none import NoBridges
from scaibunker.worker.network.bridges.port import Bridges
from scaibunker.worker.network.bridges.records import Records
from scaibunker.worker.network.bridges.transit import TransitNetworks
from scaibunker.worker.network.naming import Names
from scaibunker.worker.network.port import Networks
from scaibunker.worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

_TRIAL = InterfaceOrder(if_name="eth0", bridge_id="brg_0", mac="02:00:00:00:00:01")


async def open_bridges(
    settings: WorkerSettings, worker_id: str
) -> tuple[Bridges, Sequence[Networks]]:
    """Those that an earlier daemon left are found; beside them the networks that can be given on them."""
    if not settings.network.enabled:
        return NoBridges(), ()
    try:
        await netns.outside(lambda: netns.in_own_thread(_try))
    except (WorkerFault, OSError) as error:
        log.error("bridges_unavailable", reason=str(error))
        return NoBridges(), ()
    bridges = HostBridges(Records(settings.data_dir / "bridges"), Names.of(worker_id))
    await bridges.find()
    return bridges, (TransitNetworks(bridges, settings.network.bandwidth_mbit),)


def _try() -> None:
    """A bridge with a port, in a namespace that ends with the trial. Raises WorkerFault, OSError."""
    netns.unshare()
    port = port_of("a trial", 0)
    layout.build()
    layout.make_port(port, mbit=10)
    layout.open_port(port, _TRIAL, mbit=10)
    layout.drop_port(port)
