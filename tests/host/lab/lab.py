"""The lab: two namespaces, the link between them, and what serves in them."""

import contextlib
import ipaddress
import itertools
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.host.lab import plan
from tests.host.lab.certificates import Authority
from tests.host.lab.log import Log
from tests.host.lab.names import Names
from tests.host.lab.namespaces import Namespace
from tests.host.lab.server import Server
from tests.host.lab.sniffer import Sniffer
from tests.host.lab.streams import Services, note_sni

ECHO, GREETING, DNS, HTTP, HTTPS, DOT, OTHER_HTTP, OTHER_HTTPS = 7, 22, 53, 80, 443, 853, 8080, 8443
WORKER_SERVICE = 9440
"""TCP, HTTP, on the host: stands for what a worker listens on."""
UDP_PORTS = (ECHO, DNS, 123, HTTPS, 4500)
WAN = "wan0"


@dataclass(frozen=True)
class Site:
    """A place of the world with a name."""

    name: str
    v4: str
    v6: str


class Lab:
    """Use `Lab.opened()` or the fixture `lab`. `host_v4` and so on: see `plan`."""

    def __init__(self) -> None:
        mark = f"sblab-{os.getpid()}-{secrets.token_hex(2)}"
        self.log = Log()
        self.names = Names()
        self.authority = Authority()
        self._numbers = itertools.count(plan.FIRST_SITE)
        self._stack = contextlib.ExitStack()
        try:
            self.world = self.namespace(f"{mark}-world")
            self.host = self.namespace(f"{mark}-host")
            self.server = Server()
            self._stack.callback(self.server.close)
            self._link()
            self._serve()
        except BaseException:
            self._stack.close()
            raise

    @classmethod
    @contextlib.contextmanager
    def opened(cls) -> Iterator["Lab"]:
        lab = cls()
        try:
            yield lab
        finally:
            lab.close()

    def close(self) -> None:
        self._stack.close()

    def namespace(self, name: str) -> Namespace:
        """One more, that ends with the lab."""
        made = Namespace(name)
        self._stack.callback(made.delete)
        return made

    def site(self, name: str, ttl_s: int = 60) -> Site:
        """A name with an address of each family that nobody else has."""
        number = next(self._numbers)
        site = Site(name, f"203.0.113.{number}", f"2001:db8:1::{number:x}")
        self.names.set(name, site.v4, site.v6, ttl_s=ttl_s)
        return site

    @property
    def upstreams(self) -> tuple[tuple[str, int], ...]:
        """The resolvers that the host would be configured with."""
        return ((plan.RESOLVER_V4, DNS),)

    def ca_file(self, folder: Path) -> Path:
        """The authority's certificate, as a file for clients."""
        path = folder / "lab-ca.pem"
        path.write_text(self.authority.pem)
        return path

    def resolv_conf(self, folder: Path) -> Path:
        """What /etc/resolv.conf of the host would say."""
        path = folder / "resolv.conf"
        path.write_text(f"nameserver {plan.RESOLVER_V4}\n")
        return path

    def sniff_uplink(self) -> Sniffer:
        """Frames that leave the host for the world, and come back. Close it."""
        return Sniffer(self.world, WAN)

    def reach_host(self, port: int) -> int:
        """A port on the test's 127.0.0.1 that stands for this one on the host's."""
        return self.server.relay(None, ("127.0.0.1", 0), self.host, ("127.0.0.1", port))

    def let_reach(self, port: int, address: str = plan.CONTROLLER_V4, at: int = 8000) -> str:
        """Have the test's own 127.0.0.1:`port` served at `address` of the world; gives the URL's base."""
        self.server.relay(self.world, (address, at), None, ("127.0.0.1", port))
        shown = f"[{address}]" if ":" in address else address
        return f"http://{shown}:{at}"

    def _link(self) -> None:
        self.host.ip("link", "add", WAN, "type", "veth", "peer", WAN, "netns", self.world.name)
        self.host.batch(
            f"address add {plan.HOST_V4}/30 dev {WAN}\n"
            f"address add {plan.HOST_V6}/64 dev {WAN} nodad\n"
            f"link set {WAN} up\n"
        )
        self.world.batch(
            f"address add {plan.ROUTER_V4}/30 dev {WAN}\n"
            f"address add {plan.ROUTER_V6}/64 dev {WAN} nodad\n"
            f"link set {WAN} up\n"
            + "".join(f"route add local {_range(r)} dev lo\n" for r in plan.WORLD)
        )
        # Answers of UDP services leave from addresses that no device has.
        self.world.sysctl(ipv6__ip_nonlocal_bind=1)
        self.host.batch(
            f"route add default via {plan.ROUTER_V4}\n"
            f"route add {plan.METADATA_V4} via {plan.ROUTER_V4}\n"
            f"route add default via {plan.ROUTER_V6}\n"
        )

    def _serve(self) -> None:
        tls = self.authority.server_context("any.test")
        tls.sni_callback = self._choose
        for namespace, where in ((self.world, "world"), (self.host, "host")):
            services = Services(where, self.log, self.names)
            self.server.streams(namespace, ECHO, services.echo)
            self.server.streams(namespace, GREETING, services.greeting)
            self.server.datagrams(namespace, ECHO, services)
            if namespace is self.host:
                self.server.streams(namespace, WORKER_SERVICE, services.http)
                continue
            for port in UDP_PORTS[1:]:
                self.server.datagrams(namespace, port, services)
            self.server.streams(namespace, DNS, services.dns)
            self.server.streams(namespace, DOT, services.dns, tls)
            for port in (HTTP, OTHER_HTTP):
                self.server.streams(namespace, port, services.http)
            for port in (HTTPS, OTHER_HTTPS):
                self.server.streams(namespace, port, services.http, tls)

    def _choose(self, made: object, name: str | None, context: object) -> None:
        """A certificate of the name that the client asks for."""
        note_sni(made, name, context)
        if name:
            made.context = self.authority.server_context(name)  # type: ignore[attr-defined]


def _range(text: str) -> str:
    return str(ipaddress.ip_network(text))
