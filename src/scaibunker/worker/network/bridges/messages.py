"""The messages of rtnetlink that make a bridge and its ports."""

import struct

from scaibunker.worker.network.messages import (
    INFO_DATA,
    INFO_KIND,
    LINK,
    LINK_ADDRESS,
    LINK_INFO,
    LINK_NAME,
    NEIGHBOUR,
    NEIGHBOUR_MAC,
    NEW,
    NEWLINK,
    NEWNEIGH,
)
from scaibunker.worker.network.rtnetlink import (
    CREATE,
    NESTED,
    REPLACE,
    Message,
    attribute,
    nested,
    number,
    text,
)

AF_BRIDGE = 7
SETLINK, GETNEIGH = 19, 30
LINK_MASTER, LINK_PROTINFO = 10, 12
STP_STATE, GROUP_FORWARD_MASK, MULTICAST_SNOOPING = 5, 9, 23
PORT_LEARNING, PORT_UNICAST_FLOOD = 8, 9
FIXED, OF_MASTER, STICKY = 0x40, 0x04, 0x40
"""State of a forwarding entry that does not age (NUD_NOARP), and flags: it is the bridge's, and stays at its port."""


def new_bridge(name: str, mac: str) -> Message:
    """It does not look for loops, and forwards no frames that are meant for bridges; it knows nothing of groups, so that
    guests cannot fill what it would know."""
    data = nested(
        INFO_DATA,
        number(STP_STATE, 0),
        attribute(GROUP_FORWARD_MASK, struct.pack("=H", 0)),
        attribute(MULTICAST_SNOOPING, b"\0"),
    )
    info = nested(LINK_INFO, text(INFO_KIND, "bridge"), data)
    body = LINK.pack(0, 0, 0, 0, 0) + text(LINK_NAME, name) + attribute(LINK_ADDRESS, _mac(mac))
    return Message(NEWLINK, NEW, body + info, f"bridge {name}")


def plug(index: int, bridge: int) -> Message:
    """Interface `index` becomes a port of the bridge; of none, if that is 0."""
    body = LINK.pack(0, 0, index, 0, 0) + number(LINK_MASTER, bridge)
    return Message(NEWLINK, 0, body, "port of the bridge")


def set_port(index: int, *, learning: bool) -> Message:
    """Whether the bridge learns who is behind a port from what it sends, and floods to it what is for nobody known."""
    value = bytes([learning])
    flags = attribute(PORT_LEARNING, value) + attribute(PORT_UNICAST_FLOOD, value)
    body = LINK.pack(AF_BRIDGE, 0, index, 0, 0) + attribute(LINK_PROTINFO | NESTED, flags)
    return Message(SETLINK, 0, body, "flags of a port")


def fix_address(index: int, mac: str) -> Message:
    """Frames for `mac` go to this port, whoever else sends in its name."""
    body = NEIGHBOUR.pack(AF_BRIDGE, 0, index, FIXED, OF_MASTER | STICKY, 0)
    body += attribute(NEIGHBOUR_MAC, _mac(mac))
    return Message(NEWNEIGH, CREATE | REPLACE, body, f"forwarding entry {mac}")


def _mac(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))
