"""What things of bridges are called on the host.

A bridge's namespace tells the worker and the bridge; inside it a port tells its machine, by a digest of the machine's
name, and which of its interfaces it is.
"""

import hashlib

from scaibunker.worker.network.naming import Names

BRIDGE = "br0"
PORT_PREFIX, INTAKE_PREFIX = "t", "i"
DIGEST_LENGTH = 12


def namespace_prefix(names: Names) -> str:
    """How the namespaces of a worker's bridges begin."""
    return f"{names.namespaces}brg-"


def namespace_of(names: Names, bridge_id: str) -> str:
    return namespace_prefix(names) + bridge_id.removeprefix("brg_")


def ports_of(machine: str) -> str:
    """How all ports of a machine begin."""
    return PORT_PREFIX + hashlib.sha256(machine.encode()).hexdigest()[:DIGEST_LENGTH]


def port_of(machine: str, index: int) -> str:
    """The TAP of the interface that comes `index`th in the machine's order; `index` below 16."""
    return f"{ports_of(machine)}{index:x}"


def machine_part(port: str) -> str:
    """What all ports of its machine have in common."""
    return port[:-1]


def intake_of(port: str) -> str:
    """The IFB through which what the machine sends is led."""
    return INTAKE_PREFIX + port[1:]
