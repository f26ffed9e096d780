"""Addresses of interfaces on bridges. Pure."""

import hashlib

GROUP_BIT, LOCAL_BIT = 0x01, 0x02
NOBODY = "00:00:00:00:00:00"


def normal(mac: str) -> str:
    """In lower case. Raises ValueError, with the rule, for what no interface can have."""
    mac = mac.lower()
    if int(mac[:2], 16) & GROUP_BIT:
        raise ValueError("must be the address of one interface, not of a group")
    if mac == NOBODY:
        raise ValueError("must not be all zero")
    return mac


def derived(bunker_id: str, if_name: str, attempt: int = 0) -> str:
    """A locally administered address; the same each time it is asked for. Another `attempt` is another
    address, for when the one before is taken."""
    digest = hashlib.sha256(f"{bunker_id}/{if_name}/{attempt}".encode()).digest()
    first = digest[0] & ~GROUP_BIT & 0xFF | LOCAL_BIT
    return ":".join(f"{byte:02x}" for byte in (first, *digest[1:6]))
