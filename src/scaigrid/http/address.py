"""Where a request comes from, as far as the audit log and the limits are concerned."""

from ipaddress import IPv6Address, ip_address

from starlette.types import Scope

MAX_ADDRESS = 64
_SITE_BITS = 64
"""What one customer of a network has at least, in IPv6: single addresses are free of charge."""


def address_of(scope: Scope) -> str | None:
    """The client's address; behind proxies that are trusted, the one that they tell."""
    client = scope.get("client")
    return str(client[0])[:MAX_ADDRESS] if client else None


def source_of(address: str | None) -> str:
    """Whom to hold responsible for an address: IPv4 as it is, IPv6 by its network."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return "unknown"
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    network = int(parsed) >> _SITE_BITS << _SITE_BITS
    return f"{IPv6Address(network)}/{_SITE_BITS}"
