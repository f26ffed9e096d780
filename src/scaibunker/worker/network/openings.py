"""NAMED: which addresses a machine may open connections to, as the kernel knows it, so that others are refused before there is a
connection. Pure. What passes is judged by the gateway's proxy all the same, exactly and by name.

The gateway, which may change no rule, has the rules learn an address by a datagram to it, from its DNS port: the rules
note where that was to go, and drop it. Its port says for how long. No guest can do that: what it sends is never the
namespace's own.

The table stays when the other rules are made anew, and with it what it has learned.
"""

from scaibunker.worker.network.facts import SlotFacts

TABLE = "scaibunker_openings"
LIFETIMES_S = (4, 8, 16, 32, 64, 128, 256, 512, 4096, 131_072)
"""Of the ports from 1 on. Few, since rules are made with each machine; close together for as long as answers hold by
default."""
MAX_OPEN = 16_384
"""Addresses of a family, as many as the gateway remembers."""
AFTER_ADMISSION = -149
CLOSED_PORTS = (53, 853)
"""Names are asked of the gateway's resolver, and of nobody else."""
NOT_RESOLVED = "address stands for no permitted name"
PORT_CLOSED = "port is closed"
"""Why, as records have it."""


def port_for(lasts_s: float) -> int:
    """Of the datagram by which an address is learned for so long, or a little longer."""
    for port, lifetime in enumerate(LIFETIMES_S, 1):
        if lasts_s <= lifetime:
            return port
    return len(LIFETIMES_S)


def no_openings() -> list[str]:
    """Whatever there was of the table goes."""
    return [f"add table inet {TABLE}", f"delete table inet {TABLE}"]


def openings(facts: SlotFacts, refusal: tuple[str, ...], told: str | None) -> list[str]:
    """The table, with what it has learned if it was there. `refusal`: the statements that answer; `told`: that which tells
    the audit, with room for the reason."""
    gateways = f"{{ {facts.gateway_v6}, {facts.gateway_link_local} }}"
    return [
        f"add table inet {TABLE}",
        f"flush table inet {TABLE}",
        f"table inet {TABLE} {{",
        "counter refused { }",
        *(
            f"set open{v} {{ type ipv{v}_addr; size {MAX_OPEN}; flags dynamic, timeout; }}"
            for v in (4, 6)
        ),
        *_refuse("refuse_address", NOT_RESOLVED, refusal, told),
        *_refuse("refuse_port", PORT_CLOSED, refusal, told),
        "chain openings {",
        f"type filter hook prerouting priority {AFTER_ADMISSION}; policy drop;",
        f'iifname != "{facts.tap}" accept',
        "meta l4proto != tcp accept",
        "ct state != new accept",
        "ct status confirmed accept",
        f"ip daddr {facts.gateway_v4} accept",
        f"ip6 daddr {gateways} accept",
        *(f"tcp dport {port} goto refuse_port" for port in CLOSED_PORTS),
        "ip daddr @open4 accept",
        "ip6 daddr @open6 accept",
        "goto refuse_address",
        "}",
        "chain learning {",
        "type filter hook output priority 0; policy drop;",
        f'oifname != "{facts.uplink}" accept',
        f"udp sport != {facts.dns_port} accept",
        *(
            f"{family} saddr {gateway} udp dport {port} update @{known} {{ {family} daddr timeout {lifetime}s }}"
            for family, gateway, known in (
                ("ip", facts.gateway_v4, "open4"),
                ("ip6", facts.gateway_v6, "open6"),
            )
            for port, lifetime in enumerate(LIFETIMES_S, 1)
        ),
        "}",
        "}",
    ]


def _refuse(name: str, reason: str, refusal: tuple[str, ...], told: str | None) -> list[str]:
    tells = [told.format(reason=reason)] if told else []
    return [f"chain {name} {{", *tells, "counter name refused", *refusal, "}"]
