"""Where a redirected connection wanted to go, as the kernel remembers it."""

import ipaddress
import socket
import struct

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SO_ORIGINAL_DST = 80
"""Of SOL_IP, and of SOL_IPV6 (there as IP6T_SO_ORIGINAL_DST)."""
_SOCKADDR_IN = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6 = struct.Struct("!2xH4x16s4x")


def original_destination(accepted: socket.socket) -> tuple[Address, int]:
    """Address and port. Raises OSError if the connection is not known to have been redirected."""
    if accepted.family == socket.AF_INET:
        found = accepted.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, _SOCKADDR_IN.size)
        port, packed = _SOCKADDR_IN.unpack(found)
        return ipaddress.IPv4Address(packed), port
    found = accepted.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, _SOCKADDR_IN6.size)
    port, packed = _SOCKADDR_IN6.unpack(found)
    return ipaddress.IPv6Address(packed), port
