"""The lab is what it says: its services answer and write down who asked, and nothing of it stays behind."""

import socket
import subprocess
import sys
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.host.lab import Lab, plan
from tests.host.lab.lab import ECHO, HTTPS, WORKER_SERVICE


def _ask(lab: Lab, name: str, kind: str, at: str = plan.RESOLVER_V4) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    return lab.host.call(lambda: dns.query.udp(query, at, timeout=30))


def _get(lab: Lab, address: str, name: str) -> bytes:
    def work() -> bytes:
        with (
            socket.create_connection((address, HTTPS), 5) as plain,
            lab.authority.client_context().wrap_socket(plain, server_hostname=name) as made,
        ):
            made.sendall(f"GET /x HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: made.recv(4096), b""))

    return lab.host.call(work)


def test_names_have_what_the_test_gives_them(lab: Lab) -> None:
    site = lab.site("a.test")
    lab.names.alias("www.a.test", "a.test", ttl_s=7)
    lab.names.fail("broken.test", "SERVFAIL")
    assert str(_ask(lab, "A.test", "AAAA").answer[0][0]) == site.v6
    alias = _ask(lab, "www.a.test", "A", plan.OTHER_DNS_V6)
    assert [rrset.ttl for rrset in alias.answer] == [7, 60]
    assert _ask(lab, "nobody.test", "A").rcode() == dns.rcode.NXDOMAIN
    assert _ask(lab, "a.test", "TXT").rcode() == dns.rcode.NOERROR
    assert _ask(lab, "broken.test", "A").rcode() == dns.rcode.SERVFAIL
    hit = lab.log.wait(name="www.a.test")
    assert (hit.local, hit.text, hit.peer) == (plan.OTHER_DNS_V6, "A", plan.HOST_V6)


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_a_site_has_a_certificate_of_its_name(lab: Lab, family: str) -> None:
    address = getattr(lab.site("shop.test"), family)
    assert b"200" in _get(lab, address, "shop.test").splitlines()[0]
    hit = lab.log.wait(service="https", local=address)
    assert (hit.name, hit.sni, hit.text) == ("shop.test", "shop.test", "GET /x")


@pytest.mark.parametrize("address", [plan.METADATA_V4, plan.METADATA_V6, "10.99.1.2", "fd99::7"])
def test_datagrams_are_answered_from_the_address_that_was_asked(lab: Lab, address: str) -> None:
    def work() -> bytes:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.connect((address, ECHO))
            sock.send(b"hello")
            return sock.recv(100)

    assert lab.host.call(work) == b"hello"
    assert lab.log.wait(service="datagram", local=address).size == 5


def test_ports_pass_between_the_test_and_the_host(lab: Lab) -> None:
    with socket.create_connection(("127.0.0.1", lab.reach_host(WORKER_SERVICE)), 5) as sock:
        sock.sendall(b"GET /in HTTP/1.1\r\nHost: h\r\n\r\n")
        assert lab.log.wait(where="host", text="GET /in").port == WORKER_SERVICE
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base = lab.let_reach(listener.getsockname()[1])
        assert base == f"http://{plan.CONTROLLER_V4}:8000"
        lab.host.call(lambda: socket.create_connection((plan.CONTROLLER_V4, 8000), 5).close())
        listener.settimeout(5)
        listener.accept()[0].close()


def test_what_passes_the_uplink_is_seen(lab: Lab) -> None:
    with lab.sniff_uplink() as wire:
        _ask(lab, "seen.test", "A")
        assert wire.wait(lambda frame: b"\x04seen\x04test" in frame)
        assert not wire.frames(lambda frame: b"unseen" in frame)


def test_a_command_runs_on_the_host_with_the_mounts_of_the_test(lab: Lab) -> None:
    program = "import os,socket; print(len(os.listdir('/sys/fs/cgroup')), socket.if_nameindex())"
    groups = len(list(Path("/sys/fs/cgroup").iterdir()))
    printed = lab.host.run(sys.executable, "-c", program)
    assert printed.startswith(f"{groups} ")
    assert "wan0" in printed


def test_nothing_of_it_stays() -> None:
    with Lab.opened() as lab:
        names = {lab.world.name, lab.host.name}
    listed = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in listed.splitlines() if line.split()[0] in names]
