"""What this worker changes on the host itself so that machines reach the outside.

The host becomes a router: packets from slots leave by its routes. It stays one when the worker ends, because others
may have come to rely on it by then; the worker's own rules go.
"""

import fcntl
import socket
import struct
from pathlib import Path

import structlog

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import links, sysctls
from scaibunker.worker.network.ranges import Ranges

log = structlog.get_logger(__name__)

INTERFACES = Path("/proc/sys/net/ipv6/conf")
SIOCGIFMTU = 0x8921
FORWARDING = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
LARGEST_MTU = 1500
FLOWS = "netfilter/nf_conntrack_max"
ROOM_FOR_FLOWS = 1 << 20
"""That the host can track at least: 32 machines, each with as many as it may have. Each takes some 300 bytes, once it is there."""


def become_router() -> None:
    """Raises WorkerFault."""
    for name in FORWARDING:
        if sysctls.read(name) == "1":
            continue
        if name.startswith("ipv6"):
            _keep_listening_to_routers()
        try:
            sysctls.apply([(name, "1")])
        except OSError as error:
            raise WorkerFault(f"cannot have the host forward packets: {name}: {error}") from error
        log.info("host_forwards", setting=name)


def make_room_for_flows() -> None:
    """All machines and the host itself share one table; who fills it ends the network of all. When something tracks."""
    found = sysctls.read(FLOWS)
    if found is None or int(found) >= ROOM_FOR_FLOWS:
        return
    try:
        sysctls.apply([(FLOWS, str(ROOM_FOR_FLOWS))])
    except OSError as error:  # a container's host has the say
        log.warning("host_has_little_room_for_flows", flows=int(found), reason=str(error))
    else:
        log.info("host_tracks_more_flows", setting=FLOWS, flows=ROOM_FOR_FLOWS)


def default_mtu(outward: str | None) -> int:
    """Of the interface through which traffic leaves, at most LARGEST_MTU. Raises WorkerFault if `outward` is not
    there."""
    names = [outward] if outward is not None else links.default_interfaces()
    return min([LARGEST_MTU, *(_mtu(name) for name in names)])


def _mtu(name: str) -> int:
    """Asked of the kernel, for what is mounted at /sys may be of another namespace."""
    request = struct.pack("16si20x", name.encode(), 0)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            answer = fcntl.ioctl(asking, SIOCGIFMTU, request)
    except OSError as error:
        raise WorkerFault(f"the host has no such interface: {name}: {error.strerror}") from error
    return int(struct.unpack("16si20x", answer)[1])


def check_ranges(ranges: Ranges, own_links: str) -> None:
    """That the host has no address in the transfer ranges but those of slots (of interfaces called `own_links`…).
    Raises WorkerFault."""
    for name, address in links.addresses():
        taken = address in (ranges.v4 if address.version == 4 else ranges.v6)
        if taken and not name.startswith(own_links):
            raise WorkerFault(
                f"the host's address {address} ({name}) is in the range for transfers; set another"
            )


def _keep_listening_to_routers() -> None:
    """A host that forwards stops believing router advertisements, by which it may have its own way out. Interfaces that
    are still to come are not meant: slots are among them."""
    for folder in INTERFACES.iterdir():
        name = f"ipv6/conf/{folder.name}/accept_ra"
        if folder.name not in ("all", "default") and sysctls.read(name) == "1":
            sysctls.apply([(name, "2")])
