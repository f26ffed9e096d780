"""The kernel's settings of a slot's namespace, and of the host's end of its pair."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from scaibunker.worker.network.flow_sockets import TRACKING

ROOT = Path("/proc/sys/net")
"""What is read and written there is of the namespace of the thread that does it."""
Setting = tuple[str, str]

_V4 = {
    "rp_filter": "1",
    "accept_redirects": "0",
    "secure_redirects": "0",
    "send_redirects": "0",
    "accept_source_route": "0",
    "arp_ignore": "1",
    "arp_announce": "2",
    "route_localnet": "0",
    "proxy_arp": "0",
}
_V6 = {
    "disable_ipv6": "0",
    "accept_ra": "0",
    "autoconf": "0",
    "accept_redirects": "0",
    "accept_source_route": "-1",
    "accept_dad": "0",
    "dad_transmits": "0",
    "addr_gen_mode": "1",
    "proxy_ndp": "0",
}


def of_slot() -> list[Setting]:
    """Before there is any interface in the namespace: they take these as theirs."""
    settings = [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")]
    settings += [("ipv6/conf/default/forwarding", "1"), ("ipv4/tcp_syncookies", "1")]
    settings += [("ipv4/icmp_echo_ignore_broadcasts", "1"), ("ipv4/ip_nonlocal_bind", "0")]
    for which in ("all", "default"):
        settings += of_interface(which)
    # Flows are counted and told of, and one that was not seen from its first packet is none.
    for name, value in (("events", "1"), ("tcp_loose", "0")):
        settings.append((f"netfilter/nf_conntrack_{name}", value))
    return settings + [(f"netfilter/{name}", str(value)) for name, value in TRACKING.items()]


def of_interface(name: str) -> list[Setting]:
    settings = [(f"ipv4/conf/{name}/{key}", value) for key, value in _V4.items()]
    return settings + [(f"ipv6/conf/{name}/{key}", value) for key, value in _V6.items()]


def apply(settings: Iterable[Setting]) -> None:
    """In the namespace of the calling thread. Raises OSError."""
    for name, value in settings:
        (ROOT / name).write_text(value)


def limit_flows(most: int) -> None:
    """Where the kernel has such a limit for each namespace. Where not, the rules bound them."""
    with contextlib.suppress(OSError):
        (ROOT / "netfilter/nf_conntrack_max").write_text(str(most))


def read(name: str) -> str | None:
    """None if the kernel has no such setting."""
    try:
        return (ROOT / name).read_text().strip()
    except OSError:
        return None
