"""Which frames pass a bridge: pure text for nftables, of the bridge family, in the bridge's namespace.

The hook is prerouting, before the bridge learns anything of a frame. (What a TAP receives is led through an IFB, so
that the hooks of its own device never see it.) A frame's outermost VLAN tag has been taken off by then: `meta protocol` and the
network header are of what is inside, and a tagged frame is judged as the same frame without the tag.

A guarded port sends from its own MAC only. In ARP and neighbour discovery it speaks of that MAC only, and of
addresses that no other guarded port has claimed and used in the last CLAIM_S: `own4_*`, `own6_*` hold what a port has claimed,
each bounded, `seen4`, `seen6` what all have. An unguarded port sends from any MAC, of which there is a bound, too.
"""

from collections.abc import Iterable

from scaibunker.wire.worker.bridges import MAX_PORTS
from scaibunker.wire.worker.network import InterfaceOrder

TABLE = "scaibunker_bridge"
CLAIM_S = 600
MAX_CLAIMS = 64
"""Addresses of each family that one guarded port may have."""
MAX_MACS = 1024
"""MACs that may be behind one unguarded port at a time."""
MAC_S = 300
GROUP_FRAMES_S = 2000
"""Broadcast and multicast frames of one port a second: two transparent appliances side by side make a loop, in
which they would multiply until nothing else passes."""
_AT_ONCE = 4000

_T = f"bridge {TABLE}"
_V4 = f"type ipv4_addr; flags dynamic,timeout; timeout {CLAIM_S}s;"
_V6 = f"typeof @th,64,128; flags dynamic,timeout; timeout {CLAIM_S}s;"
_MACS = f"type ether_addr; flags dynamic,timeout; timeout {MAC_S}s; size {MAX_MACS};"
_ARP_FORM = "0x000108000604"
"""Of Ethernet and IPv4, with addresses of their lengths."""
_FOR_BRIDGES = "{ 01:00:0c:cc:cc:cc, 01:00:0c:cc:cc:cd }"
_SOURCE, _TARGET = "@nh,64,128", "@th,64,128"
"""Of an IPv6 packet: its source, and of a neighbour advertisement what it speaks of."""


def of_bridge() -> str:
    """What is there without ports: nothing passes. It leaves ports as they are."""
    return f"""
add table {_T}
add set {_T} seen4 {{ {_V4} size {MAX_PORTS * MAX_CLAIMS}; }}
add set {_T} seen6 {{ {_V6} size {MAX_PORTS * MAX_CLAIMS}; }}
add map {_T} ports {{ type ifname : verdict; size {2 * MAX_PORTS}; }}
add chain {_T} from_ports {{ type filter hook prerouting priority -300; policy drop; }}
flush chain {_T} from_ports
add rule {_T} from_ports ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 drop
add rule {_T} from_ports ether daddr {_FOR_BRIDGES} drop
add rule {_T} from_ports iifname vmap @ports
add chain {_T} to_host {{ type filter hook input priority 0; policy drop; }}
add chain {_T} from_host {{ type filter hook output priority 0; policy drop; }}
"""


def of_port(port: str, interface: InterfaceOrder) -> str:
    """Have a port's frames pass, as far as they may, from now on; what it has claimed stays."""
    lines = _things(port)
    for chain in _chains(port):
        lines.append(f"flush chain {_T} {chain}")
    groups = "meta pkttype { broadcast, multicast }"
    rules = [f"{groups} limit rate over {GROUP_FRAMES_S}/second burst {_AT_ONCE} packets drop"]
    if interface.spoof_guard:
        rules += _guarded(port, interface.mac)
        lines += [f"add rule {_T} arp_{port} {rule}" for rule in _arp(port, interface.mac)]
        lines += [f"add rule {_T} six_{port} {rule}" for rule in _six(port)]
        lines += [f"add rule {_T} nd_{port} {rule}" for rule in _neighbours(port, interface.mac)]
        lines += [
            f"add rule {_T} {chain}_{port} {rule}"
            for chain, address in (("source", _SOURCE), ("target", _TARGET))
            for rule in _claim(port, 6, address)
        ]
    else:
        rules += [f"update @macs_{port} {{ ether saddr }} accept", "drop"]
    lines += [f"add rule {_T} port_{port} {rule}" for rule in rules]
    lines.append(_opened("add", port))
    return "\n".join(lines) + "\n"


def close(port: str) -> str:
    """Nothing of a port passes any more; whether or not it was open, or known."""
    return "\n".join([*_things(port), _opened("add", port), _opened("delete", port)]) + "\n"


def forget(port: str, claimed4: Iterable[str], claimed6: Iterable[str]) -> str:
    """Nothing is left of a port that is closed, and what it had claimed is free."""
    lines = _things(port)
    for name, claimed in (("seen4", claimed4), ("seen6", claimed6)):
        for address in claimed:  # which may be over by now
            lines.append(f"add element {_T} {name} {{ {address} }}")
            lines.append(f"delete element {_T} {name} {{ {address} }}")
    lines += [f"flush chain {_T} {chain}" for chain in _chains(port)]
    lines += [f"delete chain {_T} {chain}" for chain in _chains(port)]
    lines += [f"delete set {_T} {name}" for name in _sets(port)]
    return "\n".join(lines) + "\n"


def claims(port: str) -> tuple[str, str]:
    """The names of the sets with a port's claims, of IPv4 and IPv6."""
    return f"own4_{port}", f"own6_{port}"


def _things(port: str) -> list[str]:
    """Chains and sets of a port: made, where they are not there."""
    sets = [f"add set {_T} {name} {{ {kind} }}" for name, kind in _sets(port).items()]
    return sets + [f"add chain {_T} {chain}" for chain in _chains(port)]


def _sets(port: str) -> dict[str, str]:
    own4, own6 = claims(port)
    size = f"size {MAX_CLAIMS};"
    return {own4: f"{_V4} {size}", own6: f"{_V6} {size}", f"macs_{port}": _MACS}


def _chains(port: str) -> list[str]:
    """Who refers to others comes before them."""
    return [f"{kind}_{port}" for kind in ("port", "arp", "six", "nd", "source", "target")]


def _opened(verb: str, port: str) -> str:
    verdict = f" : goto port_{port}" if verb == "add" else ""
    return f'{verb} element {_T} ports {{ "{port}"{verdict} }}'


def _guarded(port: str, mac: str) -> list[str]:
    own4, _ = claims(port)
    refreshed = f"update @{own4} {{ ip saddr }} update @seen4 {{ ip saddr }}"
    return [
        f"ether saddr != {mac} drop",
        "meta protocol < 0x600 drop",  # of IEEE 802.3, in which ARP can hide
        "meta protocol { 0x8100, 0x88a8, 0x9100 } drop",  # a tag within a tag
        f"meta protocol arp goto arp_{port}",
        f"meta protocol ip6 goto six_{port}",
        f"meta protocol ip ip saddr @{own4} {refreshed}",
        "accept",
    ]


def _arp(port: str, mac: str) -> list[str]:
    return [
        f"@nh,0,48 != {_ARP_FORM} drop",
        "@nh,48,16 != { 1, 2 } drop",
        f"@nh,64,48 != {_hex(mac)} drop",
        "@nh,112,32 0 accept",  # a question whether an address is free
        *_claim(port, 4, "arp saddr ip", "meta protocol arp "),
    ]


def _six(port: str) -> list[str]:
    """A packet must say what it is: neighbour discovery could hide behind headers, and in fragments."""
    _, own6 = claims(port)
    refreshed = f"update @{own6} {{ {_SOURCE} }} update @seen6 {{ {_SOURCE} }}"
    return [
        f"meta l4proto 58 @th,0,8 133-137 goto nd_{port}",
        f"{_SOURCE} @{own6} {refreshed}",
        "meta l4proto 58 @th,0,8 0-255 accept",
        "meta l4proto 58 exthdr frag missing drop",
        "meta l4proto 58 frag frag-off 0 drop",
        "exthdr frag exists meta l4proto { 0, 43, 44, 51, 60, 135, 139, 140 } drop",
        "meta l4proto 0-255 accept",
        "drop",
    ]


def _neighbours(port: str, mac: str) -> list[str]:
    """Each message in the one form in which it says what it has to: without options, or with the sender's MAC alone.
    Of routers' messages the sender's address alone is judged."""
    source, target = f"goto source_{port}", f"goto target_{port}"
    return [
        "@nh,48,8 != 58 drop",  # something stands before it
        # Who has no address yet asks without saying who it is.
        f"@th,0,8 133 {_SOURCE} 0 @nh,32,16 8 accept",
        f"@th,0,8 135 {_SOURCE} 0 @nh,32,16 <= 40 accept",
        f"{_SOURCE} 0 drop",
        *_with_option(133, 8, "0x0101", mac, source),
        *_with_option(135, 24, "0x0101", mac, source),
        *_with_option(136, 24, "0x0201", mac, target),
        source,
    ]


def _with_option(kind: int, length: int, option: str, mac: str, then: str) -> list[str]:
    """`length`: bytes of the message without the option, which names the sender's MAC."""
    at = 8 * length
    named = f"@th,{at},16 {option} @th,{at + 16},48 {_hex(mac)}"
    return [
        f"@th,0,8 {kind} @nh,32,16 {length} {then}",
        f"@th,0,8 {kind} @nh,32,16 {length + 8} {named} {then}",
        f"@th,0,8 {kind} drop",
    ]


def _claim(port: str, version: int, address: str, match: str = "") -> list[str]:
    """Pass if the port has claimed that address before, or nobody has and there is room for one more."""
    own, seen = f"own{version}_{port}", f"seen{version}"
    return [
        f"{match}{address} @{own} update @{own} {{ {address} }} update @{seen} {{ {address} }} accept",
        f"{match}{address} @{seen} drop",
        f"{match}add @{own} {{ {address} }} add @{seen} {{ {address} }} accept",
        "drop",
    ]


def _hex(mac: str) -> str:
    return "0x" + mac.replace(":", "")
