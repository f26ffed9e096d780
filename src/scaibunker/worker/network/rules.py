"""The ruleset of a slot's namespace, as nft text: a pure function of the policy, how the slot is laid out, and what no
bunker may reach. Applied in one transaction (`nft.apply`), it takes the place of whatever was there.

The chains, in the order in which a packet meets them:

| chain | hook, priority | what it judges |
|---|---|---|
| `guard` | prerouting, before fragments are put together | who sent it, and whether it is of a form that is judged at all |
| `admission` | prerouting, when the connection is known | how many connections there are, and how fast new ones come |
| `openings` | prerouting, after that; in a table of its own | NAMED: whether TCP goes where a permitted name stands for |
| `divert` | prerouting, destination NAT | NAMED: TCP goes to the proxy |
| `input` | input | what may be said to the gateway: DNS, and what was diverted |
| `forward` | forward | OPEN: where it goes, and that what comes is an answer |
| `leave` | postrouting, source NAT | OPEN: packets leave with the slot's own address |

All base chains drop what they do not name. What is refused is answered, so that clients fail at once; what is forged or
malformed is dropped in silence.

Sets say what is permitted, never what is not: while one ruleset takes the place of another, a packet may be judged by the
rules of the old one when its sets are empty already.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from scaibunker.worker.network.facts import SlotFacts
from scaibunker.worker.network.never import NOWHERE, WRAPPED, Never
from scaibunker.worker.network.openings import no_openings, openings
from scaibunker.worker.network.policy import Passage, Policy

TABLE = "scaibunker"
"""Of the families inet and arp."""

BEFORE_DEFRAGMENTATION = -450
AFTER_TRACKING = -150
NEW_PER_S, NEW_BURST = 500, 2000
"""Connections that a slot may open in a second, and at once after a pause; the packet that would be one more is lost."""
BUCKETS, BUCKET_COUNT = 0x00FE, 128
"""Flows are counted by some bits of their source port: to count one, the kernel walks all of those with the same. (With one
bucket, 10,000 flows of a guest made the host spend 3 ms for each one more.) The lowest is left out, because most are even."""
DNS_PER_S, DNS_BURST = 1000, 1000
ECHO_PER_S, ECHO_BURST = 100, 100
ANSWERS_PER_S, ANSWERS_BURST = 500, 1000
"""Refusals that are answered. More are silent."""
ANSWER = (
    f"limit rate over {ANSWERS_PER_S}/second burst {ANSWERS_BURST} packets drop",
    "meta l4proto tcp reject with tcp reset",
    "reject with icmpx type admin-prohibited",
)
TOLD_PER_S, TOLD_BURST = 200, 1000
"""Refusals that are told to the audit, of each reason. `refused` counts all of them."""
TOLD_BYTES = 128
"""Of a refused packet: its headers."""

COUNTERS = ("spoofed_mac", "spoofed_address", "malformed", "strayed", "limited", "refused")
"""`strayed`: came from the outside and is no answer, or is for a group of hosts."""
CLOSED_HOOKS = ("prerouting", "input", "forward", "output")
"""Where CLOSED drops all, by base chains without rules of the same names."""
ERRORS_V4 = "destination-unreachable, time-exceeded, parameter-problem"
ERRORS_V6 = "destination-unreachable, packet-too-big, time-exceeded, parameter-problem"
"""ICMP that belongs to a flow. Path MTU is found by it; redirects are not among them."""


def slot_ruleset(policy: Policy, facts: SlotFacts, never: Never) -> str:
    """For CLOSED, NAMED and OPEN. ValueError for BRIDGED, which has no slot."""
    if policy.passage is Passage.BRIDGED:
        raise ValueError("what is bridged has no slot")
    if policy.passage is Passage.CLOSED:
        chains = [_base(hook, "filter", 0) for hook in CLOSED_HOOKS]
        arp = [_base("input", "filter", 0), _base("output", "filter", 0)]
    else:
        chains = _chains(policy, facts)
        arp = [_arp(facts)]
    return "\n".join(
        [
            *_anew("inet", TABLE),
            *_anew("arp", TABLE),
            f"table inet {TABLE} {{",
            *(f"counter {name} {{ }}" for name in COUNTERS),
            *reach_sets(),
            "set flows { type inet_service; size 256; flags dynamic; }",
            *chains,
            "}",
            f"table arp {TABLE} {{",
            *arp,
            "}",
            *_openings(policy, facts),
            never_update(never),
        ]
    )


def slot_opening(policy: Policy, facts: SlotFacts) -> str:
    """Makes NAMED or OPEN of CLOSED, where that is in force as it was made, with the same Never: what it adds does the same as
    `slot_ruleset`. The kernel waits for every processor before it lets go of rules that were taken away, tens of
    milliseconds where it is busy; what only adds has nothing to wait for."""
    if policy.passage not in (Passage.NAMED, Passage.OPEN):
        raise ValueError(f"{policy.passage} opens nothing")
    new, more = [], []
    for chain in _chains(policy, facts):
        head, *lines, _ = chain.split("\n")
        name = head.split()[1]
        if name in CLOSED_HOOKS:
            more += [f"add rule inet {TABLE} {name} {line}" for line in lines[1:]]
        else:
            new.append(chain)
    arp = _arp(facts).split("\n")[2:-1]
    return "\n".join(
        [
            f"table inet {TABLE} {{",
            *new,
            "}",
            *more,
            f"add rule inet {TABLE} prerouting accept",
            f"add rule inet {TABLE} output accept",
            *(f"add rule arp {TABLE} input {line}" for line in arp),
            f"add rule arp {TABLE} output accept",
            *(_openings(policy, facts) if policy.passage is Passage.NAMED else ()),
            "",
        ]
    )


def never_update(never: Never) -> str:
    """Puts another Never in the place of the one that a slot's ruleset was made with, without touching the rest."""
    return reach_update(TABLE, never)


def reach_sets() -> list[str]:
    """`reach4` and `reach6`, for all that OPEN may reach; `reach_update` fills them."""
    return [f"set reach{v} {{ type ipv{v}_addr; flags interval; }}" for v in (4, 6)]


def reach_update(table: str, never: Never) -> str:
    """Other elements for those sets, in one transaction."""
    lines = []
    for version in (4, 6):
        name = f"inet {table} reach{version}"
        lines += [f"flush set {name}", f"add element {name} {{ {_elements(never, version)} }}"]
    return "\n".join([*lines, ""])


def reachable(never: Never, version: int) -> list[tuple[int, int]]:
    """The first and the last of each range of addresses that OPEN may reach, in order."""
    closed = sorted(
        (int(r.network_address), int(r.broadcast_address))
        for r in (*NOWHERE, *WRAPPED, *never.vicinity)
        if r.version == version
    )
    ranges, begin = [], 0
    for first, last in closed:
        if first > begin:
            ranges.append((begin, first - 1))
        begin = max(begin, last + 1)
    if begin < 1 << (32 if version == 4 else 128):
        ranges.append((begin, (1 << (32 if version == 4 else 128)) - 1))
    return ranges


def link_local(mac: str) -> IPv6Address:
    """The address that an interface with this MAC gives itself (RFC 4291, appendix A)."""
    parts = [int(part, 16) for part in mac.split(":")]
    tail = bytes([parts[0] ^ 2, parts[1], parts[2], 0xFF, 0xFE, *parts[3:]])
    return IPv6Address(b"\xfe\x80" + bytes(6) + tail)


def _chains(policy: Policy, facts: SlotFacts) -> list[str]:
    opened = policy.passage is Passage.OPEN
    chains = [
        *_refusals(policy.audited, facts),
        *_discovery(facts),
        *_guests(facts),
        _guard(facts, opened=opened),
        _admission(facts),
        _input(facts, opened=opened),
    ]
    return [*chains, *(_forwarding(facts) if opened else _diverting(facts))]


def _guard(facts: SlotFacts, *, opened: bool) -> str:
    lines = [f'iifname "{facts.tap}" goto from_guest']
    if opened:  # nothing comes that way unless something was forwarded
        lines += [
            f'iifname "{facts.uplink}" ip daddr {facts.transfer_v4} accept',
            f'iifname "{facts.uplink}" ip6 daddr {facts.transfer_v6} accept',
        ]
    lines.append("counter name strayed")
    return _base("prerouting", "filter", BEFORE_DEFRAGMENTATION, lines, name="guard")


def _guests(facts: SlotFacts) -> list[str]:
    """What a guest may send at all. A next header that is not TCP, UDP or ICMP is an extension header or a protocol
    without ports, which could not be told apart behind one address."""
    return [
        _chain(
            "from_guest",
            f"ether saddr != {facts.guest_mac} counter name spoofed_mac drop",
            "meta protocol ip goto guest_v4",
            "meta protocol ip6 goto guest_v6",
            "drop",
        ),
        _chain(
            "guest_v4",
            f"ip saddr != {facts.guest_v4.ip} counter name spoofed_address drop",
            "ip hdrlength != 5 counter name malformed drop",
            "ip frag-off & 0x3fff != 0 counter name malformed drop",
            "meta pkttype != host counter name strayed drop",
            "ip protocol { icmp, tcp, udp } accept",
            "counter name malformed drop",
        ),
        _chain(
            "guest_v6",
            "ip6 nexthdr icmpv6 icmpv6 type nd-neighbor-solicit goto discovery",
            "ip6 nexthdr icmpv6 icmpv6 type nd-neighbor-advert goto discovery",
            f"ip6 saddr != {facts.guest_v6.ip} counter name spoofed_address drop",
            "ip6 nexthdr != { icmpv6, tcp, udp } counter name malformed drop",
            "meta pkttype != host counter name strayed drop",
            "accept",
        ),
    ]


def _discovery(facts: SlotFacts) -> list[str]:
    """The guest asks for the gateway and answers for itself. The tables of neighbours are the host's as a whole: it
    could fill them with others."""
    own = f"{{ {facts.guest_v6.ip}, {link_local(facts.guest_mac)} }}"
    gateways = (facts.gateway_v6, facts.gateway_link_local)
    asked = ", ".join(str(a) for a in (*gateways, *sorted({_solicited(a) for a in gateways})))
    targets = "{ " + ", ".join(_hex(a) for a in gateways) + " }"
    own_targets = f"{{ {_hex(facts.guest_v6.ip)}, {_hex(link_local(facts.guest_mac))} }}"
    return [
        _chain(
            "discovery",
            f"ip6 saddr != {own} counter name spoofed_address drop",
            "ip6 hoplimit != 255 counter name malformed drop",
            f"ip6 daddr != {{ {asked} }} counter name strayed drop",
            f"icmpv6 type nd-neighbor-solicit @th,64,128 {targets} accept",
            f"icmpv6 type nd-neighbor-advert @th,64,128 {own_targets} accept",
            "counter name spoofed_address drop",
        )
    ]


def _admission(facts: SlotFacts) -> str:
    return _base(
        "prerouting", "filter", AFTER_TRACKING,
        [
            f'iifname != "{facts.tap}" accept',
            "ct state != new accept",
            "ct status confirmed accept",  # it is known, though nothing has come back yet
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
            f"limit rate over {NEW_PER_S}/second burst {NEW_BURST} packets counter name limited drop",
            f"add @flows {{ th sport & {BUCKETS} ct count over {_each(facts)} }} goto refuse_limit",
            "accept",
        ],
        name="admission",
    )  # fmt: skip


def _each(facts: SlotFacts) -> int:
    """Flows that a bucket may have: twice its share, since no guest fills them evenly."""
    return max(1, 2 * facts.max_flows // BUCKET_COUNT)


def _input(facts: SlotFacts, *, opened: bool) -> str:
    dns = f"dport {facts.dns_port}"
    addresses = (f"ip daddr {facts.gateway_v4}", f"ip6 daddr {facts.gateway_v6}")
    lines = [
        f'iifname != "{facts.tap}" drop',
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
        f"udp {dns} limit rate over {DNS_PER_S}/second burst {DNS_BURST} packets counter name limited drop",
    ]
    for address in addresses:
        lines += [f"{address} {protocol} {dns} accept" for protocol in ("udp", "tcp")]
        if not opened:
            lines.append(f"{address} tcp dport {facts.proxy_port} ct status dnat accept")
    lines.append("goto refuse_profile")
    return _base("input", "filter", 0, lines)


def _diverting(facts: SlotFacts) -> list[str]:
    """NAMED. What the proxy is told of as the wish of the guest is the destination before NAT."""
    proxy_v4 = f"{facts.gateway_v4}:{facts.proxy_port}"
    proxy_v6 = f"[{facts.gateway_v6}]:{facts.proxy_port}"
    gateways = f"{{ {facts.gateway_v6}, {facts.gateway_link_local} }}"
    tap = f'iifname "{facts.tap}"'
    return [
        _base(
            "prerouting", "nat", -100,
            [
                f"{tap} ip daddr != {facts.gateway_v4} meta l4proto tcp dnat ip to {proxy_v4}",
                f"{tap} ip6 daddr != {gateways} meta l4proto tcp dnat ip6 to {proxy_v6}",
            ],
            name="divert", policy="accept",
        ),
        _base("forward", "filter", 0, [f"{tap} goto refuse_profile"]),
    ]  # fmt: skip


def _forwarding(facts: SlotFacts) -> list[str]:
    """OPEN. What may never be reached is looked at for each packet, so that it counts for open connections too."""
    echo = f"limit rate {ECHO_PER_S}/second burst {ECHO_BURST} packets accept"
    out = f'oifname "{facts.uplink}"'
    return [
        _chain(
            "outbound",
            "ip daddr != @reach4 goto refuse_never",
            "ip6 daddr != @reach6 goto refuse_never",
            "ct state established accept",
            f"ct state related icmp type {{ {ERRORS_V4} }} accept",
            f"ct state related icmpv6 type {{ {ERRORS_V6} }} accept",
            "ct state new meta l4proto { tcp, udp } accept",
            f"ct state new icmp type echo-request {echo}",
            f"ct state new icmpv6 type echo-request {echo}",
            "goto refuse_profile",
        ),
        _chain(
            "inbound",
            "ct state established ct direction reply accept",
            f"ct state related icmp type {{ {ERRORS_V4} }} accept",
            f"ct state related icmpv6 type {{ {ERRORS_V6} }} accept",
            "counter name strayed drop",
        ),
        _base(
            "forward", "filter", 0,
            [
                f'iifname "{facts.tap}" {out} goto outbound',
                f'iifname "{facts.uplink}" oifname "{facts.tap}" goto inbound',
                f'iifname "{facts.tap}" goto refuse_never',
            ],
        ),
        _base(
            "postrouting", "nat", 100,
            [
                f"{out} ip saddr {facts.guest_v4.ip} snat ip to {facts.transfer_v4}",
                f"{out} ip6 saddr {facts.guest_v6.ip} snat ip6 to {facts.transfer_v6}",
            ],
            name="leave", policy="accept",
        ),
    ]  # fmt: skip


def _openings(policy: Policy, facts: SlotFacts) -> list[str]:
    """NAMED: which addresses connections may be opened to."""
    if policy.passage is not Passage.NAMED:
        return no_openings()
    return openings(facts, ANSWER[:2], _told(facts) if policy.audited else None)


def _told(facts: SlotFacts) -> str:
    """Tells the audit of a refusal, with room for the reason."""
    return (
        f"limit rate {TOLD_PER_S}/second burst {TOLD_BURST} packets "
        f'log prefix "{{reason}}" group {facts.refusals_group} snaplen {TOLD_BYTES}'
    )


def _refusals(audited: bool, facts: SlotFacts) -> list[str]:
    """For each reason, a chain that tells and counts it; one that answers."""
    return [
        _chain("answer", *ANSWER),
        *(
            _chain(
                f"refuse_{reason}",
                *([_told(facts).format(reason=reason)] if audited else []),
                "counter name refused",
                "goto answer",
            )
            for reason in ("profile", "never", "limit")
        ),
    ]


def _arp(facts: SlotFacts) -> str:
    """The guest asks for the gateway; the slot knows the guest."""
    return _base(
        "input", "filter", 0,
        [
            f'iifname "{facts.tap}" arp htype 1 arp ptype ip arp operation request'
            f" arp saddr ether {facts.guest_mac} arp saddr ip {facts.guest_v4.ip}"
            f" arp daddr ip {facts.gateway_v4} accept",
        ],
    )  # fmt: skip


def _anew(family: str, table: str) -> list[str]:
    """In the same transaction: whatever was there goes."""
    return [f"add table {family} {table}", f"delete table {family} {table}"]


def _base(
    hook: str,
    kind: str,
    priority: int,
    lines: Iterable[str] = (),
    *,
    name: str | None = None,
    policy: str = "drop",
) -> str:
    head = f"type {kind} hook {hook} priority {priority}; policy {policy};"
    return _chain(name or hook, head, *lines)


def _chain(name: str, *lines: str) -> str:
    return "\n".join([f"chain {name} {{", *lines, "}"])


def _elements(never: Never, version: int) -> str:
    address = IPv4Address if version == 4 else IPv6Address
    return ", ".join(f"{address(a)}-{address(b)}" for a, b in reachable(never, version))


def _solicited(address: IPv6Address) -> IPv6Address:
    return IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + address.packed[-3:])


def _hex(address: IPv6Address) -> str:
    return f"0x{address.packed.hex()}"
