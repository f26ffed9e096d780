"""The kernel's settings of a slot's namespace, and of the host's end of its pair."""

from collections.abc import Iterable
from pathlib import Path

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
    # Each refusal is answered; rules bound how many.
    settings += [("ipv4/icmp_ratelimit", "0"), ("ipv6/icmp/ratelimit", "0")]
    settings += [("ipv4/icmp_echo_ignore_broadcasts", "1"), ("ipv4/ip_nonlocal_bind", "0")]
    for which in ("all", "default"):
        settings += of_interface(which)
    return settings


def of_tracking() -> list[Setting]:
    """When there are rules that track connections: what was not seen from its first packet is none of them, and
    whoever listens is told of each. How they are counted, `flow_sockets` says."""
    return [("netfilter/nf_conntrack_tcp_loose", "0"), ("netfilter/nf_conntrack_events", "1")]


def of_interface(name: str) -> list[Setting]:
    settings = [(f"ipv4/conf/{name}/{key}", value) for key, value in _V4.items()]
    return settings + [(f"ipv6/conf/{name}/{key}", value) for key, value in _V6.items()]


def apply(settings: Iterable[Setting]) -> None:
    """In the namespace of the calling thread. Raises OSError."""
    for name, value in settings:
        (ROOT / name).write_text(value)


def read(name: str) -> str | None:
    """None if the kernel has no such setting."""
    try:
        return (ROOT / name).read_text().strip()
    except OSError:
        return None
