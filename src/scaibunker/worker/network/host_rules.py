"""The worker's tables in the host's own namespace, as nft text: what comes out of slots, and where it may go.

A second fence behind the slots' own rulesets, and the one that knows the host's interfaces. It says nothing of traffic
that is not of this worker's slots.
"""

from scaibunker.worker.network.facts import HostFacts
from scaibunker.worker.network.flow_sockets import TCP_TIMEOUTS
from scaibunker.worker.network.naming import LINK_PREFIX
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.rules import reach_sets, reach_update

BEFORE_ALL = -450
BEFORE_OTHERS = -10
"""A drop here is final; what is accepted here may still be dropped by the operator's own rules."""
TIMEOUTS = {v: f"meta nfproto ipv{v} meta l4proto tcp" for v in (4, 6)}
"""The host knows a flow for as long as its slot does, which bounds how many there are; by itself it would remember flows that are over
for two minutes, and a single guest could fill the table that all share."""
COUNTERS = ("host_spoofed", "host_inward", "host_refused", "host_strayed")


def host_ruleset(facts: HostFacts, never: Never) -> str:
    """It takes the place of what this worker had there, in one transaction. The base chains stay, so that there is no
    packet that meets the old ones too late and the new ones too early: nothing but rules stands between slots and the
    host. So one of them never changes; when what it hooks into has to be another, it gets another name."""
    own, any_slot = f'"{facts.uplinks}*"', f'"{LINK_PREFIX}*"'
    discovery = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255"
    elsewhere = [f'oifname != "{facts.outward}" counter name host_refused drop']
    return "\n".join(
        [
            f"add table inet {facts.table}",
            f"flush table inet {facts.table}",
            f"table inet {facts.table} {{",
            *(f"counter {name} {{ }}" for name in COUNTERS),
            *reach_sets(),
            *(_timeouts(version) for version in TIMEOUTS),
            "chain guard {",
            f"type filter hook prerouting priority {BEFORE_ALL}; policy accept;",
            f"iifname != {own} accept",
            f"ip saddr {facts.transfer_v4} fib saddr . iif oif exists accept",
            f"ip6 saddr {facts.transfer_v6} fib saddr . iif oif exists accept",
            "counter name host_spoofed drop",
            "}",
            "chain input {",
            f"type filter hook input priority {BEFORE_OTHERS}; policy accept;",
            f"iifname != {own} accept",
            f"{discovery} accept",
            "counter name host_inward drop",
            "}",
            "chain outbound {",
            *(elsewhere if facts.outward else []),
            f"oifname {any_slot} counter name host_refused drop",
            "ct state invalid counter name host_refused drop",
            *(f'ct state new {match} ct timeout set "slots{v}"' for v, match in TIMEOUTS.items()),
            "ip daddr @reach4 accept",
            "ip6 daddr @reach6 accept",
            "counter name host_refused drop",
            "}",
            "chain forward {",
            f"type filter hook forward priority {BEFORE_OTHERS}; policy accept;",
            f"iifname {own} goto outbound",
            f"oifname {own} ct state established,related accept",
            f"oifname {own} counter name host_strayed drop",
            "}",
            "chain mask {",
            "type nat hook postrouting priority 100; policy accept;",
            f"ip saddr {facts.transfer_v4} oifname != {any_slot} masquerade",
            f"ip6 saddr {facts.transfer_v6} oifname != {any_slot} masquerade",
            "}",
            "}",
            reach_update(facts.table, never),
        ]
    )


def _timeouts(version: int) -> str:
    l3 = "ip" if version == 4 else "ip6"
    policy = ", ".join(f"{state}: {seconds}" for state, seconds in TCP_TIMEOUTS.items())
    return f"ct timeout slots{version} {{ protocol tcp; l3proto {l3}; policy = {{ {policy} }}; }}"


def host_update(facts: HostFacts, never: Never) -> str:
    """Puts another Never in the place of the one that the host's table was made with."""
    return reach_update(facts.table, never)
