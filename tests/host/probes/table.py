"""The table of probes: what is tried from inside a bunker, and what must come of it, for each profile.

Data alone. `docs/reference/network-probes.md` is made of it, and `tests/host/test_network_probes.py` measures it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Arguments = Mapping[str, Any]

PROFILES = ("isolated", "registry", "allowlisted", "unrestricted", "transit")


class Verdict(StrEnum):
    """What becomes of a probe; `MEANINGS` says what each means."""

    PASSES = "passes"
    REFUSED = "refused"
    SILENT = "silent"
    NO_WAY = "no way"


MEANINGS = {
    Verdict.PASSES: "it is answered, or seen outside of the bunker",
    Verdict.REFUSED: "it fails at once, and nothing of it is seen outside",
    Verdict.SILENT: "it gets no answer, and nothing of it is seen outside",
    Verdict.NO_WAY: "the guest has no device, or no address, to try it with",
}
PASSES, REFUSED, SILENT = Verdict.PASSES, Verdict.REFUSED, Verdict.SILENT


@dataclass(frozen=True)
class Probe:
    """`kind` and `arguments` are the program's; `{words}` in them are filled in by the test. `named`: with `registry` and
    `allowlisted`; `opened`: with `unrestricted`; `bridged`: with `transit`, on a bridge where nobody else is."""

    name: str
    kind: str
    named: Verdict
    opened: Verdict
    bridged: Verdict = Verdict.NO_WAY
    arguments: Arguments = field(default_factory=dict)

    def expected(self, profile: str) -> Verdict:
        by_profile = {
            "isolated": Verdict.NO_WAY,
            "unrestricted": self.opened,
            "transit": self.bridged,
        }
        return by_profile.get(profile, self.named)


def _p(title: str, how: str, named: Verdict, opened: Verdict, /, **arguments: Any) -> Probe:
    return Probe(title, how, named, opened, arguments=arguments)


def _l2(title: str, how: str, routed: Verdict, bridged: Verdict, /, **arguments: Any) -> Probe:
    """The same with every profile that is routed."""
    return Probe(title, how, routed, routed, bridged, arguments)


_DATAGRAM = {"to": "{site}", "data": "{id}", "source": "{guest}", "gateway_mac": "{gateway_mac}"}


def _frame(title: str, routed: Verdict, bridged: Verdict, /, **arguments: Any) -> Probe:
    own = {"source": "{guest6}"} if arguments.get("to") == "{site6}" else {}
    return _l2(title, "frame", routed, bridged, **{**_DATAGRAM, **own, **arguments})


NAMES = [
    _p("DNS: a permitted name, A, over UDP", "dns", PASSES, PASSES, server="{gateway}", name="{permitted}"),
    _p("DNS: a permitted name, AAAA, over UDP", "dns", PASSES, PASSES, server="{gateway}", name="{permitted}", kind=28),
    _p("DNS: a permitted name over TCP", "dns", PASSES, PASSES, server="{gateway}", name="{permitted}", over="tcp"),
    _p("DNS: a permitted name of the gateway's IPv6 address", "dns", PASSES, PASSES, server="{gateway6}", name="{permitted}"),
    _p("DNS: an alias that is permitted, of a name that is not", "dns", PASSES, PASSES, server="{gateway}", name="{alias}"),
    _p("DNS: one label under a wildcard", "dns", PASSES, PASSES, server="{gateway}", name="one.{wild}"),
    _p("DNS: the bare name of a wildcard", "dns", REFUSED, PASSES, server="{gateway}", name="{wild}"),
    _p("DNS: two labels under a wildcard", "dns", REFUSED, PASSES, server="{gateway}", name="two.one.{wild}"),
    _p("DNS: a name that is not permitted", "dns", REFUSED, PASSES, server="{gateway}", name="{other}"),
    _p("DNS: a name that is not permitted, over TCP", "dns", REFUSED, PASSES, server="{gateway}", name="{other}", over="tcp"),
    _p("DNS: a tunnel by labels under a permitted name", "dns", REFUSED, PASSES, server="{gateway}", name="{id}.{permitted}"),
    _p("DNS: a tunnel by labels under a stranger's name", "dns", REFUSED, PASSES, server="{gateway}", name="{id}.{tunnel}"),
    _p("DNS: another server, over UDP", "dns", REFUSED, PASSES, server="{dns}", name="{permitted}"),
    _p("DNS: another server, over UDP and IPv6", "dns", REFUSED, PASSES, server="{dns6}", name="{permitted}"),
    _p("DNS: another server, over TCP", "dns", REFUSED, PASSES, server="{dns}", name="{permitted}", over="tcp"),
    _p("DNS: another server, over TLS", "dns", REFUSED, PASSES, server="{dns}", name="{permitted}", over="tls"),
    _p("DNS: the host's own resolver", "dns", REFUSED, PASSES, server="{upstream}", name="{permitted}"),
    _p("DNS over HTTPS, at a server's address", "web", REFUSED, PASSES, host="doh.test", to="{dns}", tls=True, sni=None,
       path="/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB&id={id}"),
    _p("DNS over HTTPS, at a permitted address in a server's name", "web", REFUSED, PASSES, host="doh.test", to="{permitted}",
       tls=True, path="/{id}"),
]  # fmt: skip

WEB = [
    _p("HTTP to a permitted name", "web", PASSES, PASSES, host="{permitted}", path="/{id}"),
    _p("HTTP to a permitted name over IPv6", "web", PASSES, PASSES, host="{permitted}", path="/{id}", v6=True),
    _p("HTTP to a permitted name, on another port", "web", PASSES, PASSES, host="{permitted}", path="/{id}", port=8080),
    _p("HTTPS to a permitted name", "web", PASSES, PASSES, host="{permitted}", path="/{id}", tls=True),
    _p("HTTPS to a permitted name over IPv6", "web", PASSES, PASSES, host="{permitted}", path="/{id}", tls=True, v6=True),
    _p("HTTPS to a permitted alias", "web", PASSES, PASSES, host="{alias}", path="/{id}", tls=True),
    _p("HTTP by a name that is not permitted", "web", REFUSED, PASSES, host="{other}", path="/{id}"),
    _p("HTTPS by a name that is not permitted", "web", REFUSED, PASSES, host="{other}", path="/{id}", tls=True),
    _p("HTTP to the address of a name that is not permitted", "web", REFUSED, PASSES, host="{other}", to="{other4}", path="/{id}"),
    _p("HTTP to a permitted address in another's name", "web", REFUSED, PASSES, host="{other}", to="{permitted}", path="/{id}"),
    _p("HTTPS to a permitted address in another's name", "web", REFUSED, PASSES, host="{other}", to="{permitted}", path="/{id}", tls=True),
    _p("HTTPS to a permitted address without a name", "web", REFUSED, PASSES, host="{permitted}", to="{permitted}", path="/{id}", tls=True, sni=None),
    _p("HTTPS in a permitted name, with another's Host inside", "web", PASSES, PASSES, host="{other}", to="{permitted}", path="/{id}", tls=True, sni="{permitted}"),
    _p("HTTP to any address in a permitted name", "web", REFUSED, PASSES, host="{permitted}", to="{site}", path="/{id}"),
    _p("HTTPS to any address in a permitted name", "web", REFUSED, PASSES, host="{permitted}", to="{site}", path="/{id}", tls=True),
    _p("HTTPS to any IPv6 address in a permitted name", "web", REFUSED, PASSES, host="{permitted}", to="{site6}", path="/{id}", tls=True),
    _p("HTTP: a second request on the connection, in another's name", "web", REFUSED, PASSES, host="{permitted}", also="{other}", path="/{id}"),
    _p("HTTP: CONNECT", "web", REFUSED, PASSES, host="{permitted}", path="{other}:443", method="CONNECT"),
    _p("Another protocol over TCP, to a permitted name", "tcp", PASSES, PASSES, to="{permitted}", port=7, data="{id}\n"),
    _p("Another protocol over TCP, to any address", "tcp", REFUSED, PASSES, to="{site}", port=7, data="{id}"),
]  # fmt: skip

DATAGRAMS = [
    _p("UDP to a permitted name", "udp", REFUSED, PASSES, to="{permitted}", port=7, data="{id}"),
    _p("UDP to any address", "udp", REFUSED, PASSES, to="{site}", port=7, data="{id}"),
    _p("UDP to any IPv6 address", "udp", REFUSED, PASSES, to="{site6}", port=7, data="{id}"),
    _p("UDP port 443 (QUIC) to a permitted name", "udp", REFUSED, PASSES, to="{permitted}", port=443, data="{id}"),
    _p("UDP port 123 (NTP)", "udp", REFUSED, PASSES, to="{site}", port=123, data="{id}"),
    _p("An echo request", "ping", REFUSED, PASSES, to="{site}", data="{id}"),
    _p("An echo request over IPv6", "ping", REFUSED, PASSES, to="{site6}", data="{id}"),
    _p("A tunnel in echo requests", "ping", REFUSED, PASSES, to="{site}", data="{id}" + "t" * 1200),
    _p("A timestamp request", "ping", REFUSED, REFUSED, to="{site}", data="{id}    ", kind=13),
]  # fmt: skip

NEVER = [
    _p("Metadata", "web", REFUSED, REFUSED, host="metadata", to="{metadata}", path="/{id}"),
    _p("Metadata over IPv6", "web", REFUSED, REFUSED, host="metadata", to="{metadata6}", path="/{id}"),
    _p("Metadata by UDP", "udp", REFUSED, REFUSED, to="{metadata}", port=7, data="{id}"),
    _p("A name that stands for metadata", "web", REFUSED, REFUSED, host="{rebound}", path="/{id}"),
    _p("A permitted name that stands for a private address", "web", REFUSED, PASSES, host="{inside}", path="/{id}"),
    _p("A private address", "web", REFUSED, PASSES, host="intranet", to="{intranet}", path="/{id}"),
    _p("The worker: its API", "web", REFUSED, REFUSED, host="worker", to="{host}", port="{worker_port}", path="/{id}"),
    _p("The worker: a service", "web", REFUSED, REFUSED, host="worker", to="{host}", port="{host_port}", path="/{id}"),
    _p("The worker over IPv6", "web", REFUSED, REFUSED, host="worker", to="{host6}", port="{host_port}", path="/{id}"),
    _p("The worker by UDP", "udp", REFUSED, REFUSED, to="{host}", port=7, data="{id}"),
    _p("The worker by an echo request", "ping", REFUSED, REFUSED, to="{host}", data="{id}"),
    _p("The worker's end of the bunker's own link", "web", REFUSED, REFUSED, host="worker", to="{transfer}", port="{host_port}", path="/{id}"),
    _p("The controller", "web", REFUSED, REFUSED, host="controller", to="{controller}", path="/{id}"),
    _p("Another worker", "web", REFUSED, REFUSED, host="peer", to="{peer}", path="/{id}"),
    _p("Another worker over IPv6", "web", REFUSED, REFUSED, host="peer", to="{peer6}", path="/{id}"),
    _p("Another bunker by TCP", "tcp", REFUSED, REFUSED, to="{neighbour}", port=7777, data="{id}"),
    _p("Another bunker by UDP", "udp", REFUSED, REFUSED, to="{neighbour}", port=7777, data="{id}"),
    _p("Another bunker over IPv6", "udp", REFUSED, REFUSED, to="{neighbour6}", port=7777, data="{id}"),
    _p("The gateway: another port by TCP", "tcp", REFUSED, REFUSED, to="{gateway}", port=22, data="{id}"),
    _p("The gateway: the proxy itself", "tcp", REFUSED, REFUSED, to="{gateway}", port=1, data="{id}"),
    _p("The gateway: another port by UDP", "udp", REFUSED, REFUSED, to="{gateway}", port=5353, data="{id}"),
    _p("The gateway: an echo request", "ping", REFUSED, REFUSED, to="{gateway}", data="{id}"),
]  # fmt: skip

STRANGE_MAC = "02:00:00:00:00:99"
PADDING = "0000010400000000"
FORGED = [
    Probe("A frame as it should be", "frame", SILENT, PASSES, PASSES, _DATAGRAM),
    _frame("Another source MAC", SILENT, SILENT, source_mac=STRANGE_MAC),
    _frame("Another source address", SILENT, PASSES, source="203.0.113.77"),
    _frame("Another bunker's address as source", SILENT, PASSES, source="{neighbour}"),
    _frame("Another source address, IPv6", SILENT, PASSES, to="{site6}", source="2001:db8:1::77"),
    _frame("IPv4 options", SILENT, PASSES, options="0707040000000000"),
    _frame("An IPv4 fragment", SILENT, PASSES, fragment=0x2000),
    _frame("GRE", SILENT, PASSES, protocol=47),
    _frame("IPv6 in IPv4", SILENT, PASSES, protocol=41),
    _frame("IPv6: a hop-by-hop header", SILENT, PASSES, to="{site6}", headers=[[0, PADDING]]),
    _frame("IPv6: destination options", SILENT, PASSES, to="{site6}", headers=[[60, PADDING]]),
    _frame("IPv6: a routing header", SILENT, PASSES, to="{site6}", headers=[[43, "00" * 8]]),
    _frame("IPv6: a fragment header", SILENT, PASSES, to="{site6}", headers=[[44, "0000000000000007"]]),
    _l2("ARP for the gateway, as it should be", "arp", PASSES, SILENT, sender="{guest}", sender_mac=None, target="{gateway}"),
    _l2("ARP in another's name", "arp", SILENT, SILENT, sender="198.18.0.9", sender_mac=None, target="{gateway}"),
    _l2("ARP with another MAC", "arp", SILENT, SILENT, sender="{guest}", sender_mac=STRANGE_MAC, target="{gateway}"),
    _l2("ARP for what is beyond", "arp", SILENT, SILENT, sender="{guest}", sender_mac=None, target="{transfer}"),
    _l2("A neighbour solicitation, as it should be", "solicit", PASSES, SILENT, source="{guest6}", target="{gateway6}", gateway_mac="{gateway_mac}"),
    _l2("A neighbour solicitation in another's name", "solicit", SILENT, SILENT, source="fd5c:a1ba:9000::9", target="{gateway6}", gateway_mac="{gateway_mac}"),
]  # fmt: skip

GROUPS = {
    "Names": NAMES,
    "Web and other connections": WEB,
    "Datagrams": DATAGRAMS,
    "What no bunker reaches": NEVER,
    "Forged and malformed": FORGED,
}
PROBES = [probe for group in GROUPS.values() for probe in group]
