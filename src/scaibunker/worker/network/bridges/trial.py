"""Whether this host can have bridges, found out by making one in a namespace that ends with the trial."""

from scaibunker.wire.worker.network import InterfaceOrder
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import netns
from scaibunker.worker.network.bridges import layout
from scaibunker.worker.network.bridges.names import port_of

ADVICE = "load the modules bridge and nf_tables (its family bridge), or use a kernel that has them"
_INTERFACE = InterfaceOrder(if_name="eth0", bridge_id="brg_0", mac="02:00:00:00:00:01")


def missing() -> str | None:
    """Why it cannot, in words for an operator; None if it can. Needs root, and takes some hundredths of a second."""
    try:
        netns.in_own_thread(_try)
    except WorkerFault as fault:
        return fault.message
    except OSError as error:
        return error.strerror or str(error)
    return None


def _try() -> None:
    netns.unshare()
    port = port_of("a trial", 0)
    layout.build()
    layout.make_port(port, mbit=10)
    layout.open_port(port, _INTERFACE, mbit=10)
    layout.drop_port(port)
