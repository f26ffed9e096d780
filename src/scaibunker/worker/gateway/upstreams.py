"""The resolvers that the host itself asks. The gateway cannot see the host's files: the daemon reads them for it."""

import contextlib
import ipaddress
from pathlib import Path

RESOLV_CONF = Path("/etc/resolv.conf")
MAX_UPSTREAMS = 3
"""As many as the C library asks."""
DNS_PORT = 53


def read_from(path: Path = RESOLV_CONF) -> tuple[tuple[str, int], ...]:
    """Address and port of each, in the order of the file; this host if the file is missing or names none, as the
    C library has it."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    found: list[tuple[str, int]] = []
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            with contextlib.suppress(ValueError):
                found.append((str(ipaddress.ip_address(words[1])), DNS_PORT))
    return tuple(found[:MAX_UPSTREAMS]) or (("127.0.0.1", DNS_PORT),)
