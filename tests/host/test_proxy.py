"""A hostile guest before the real gateway: what it says, what it is redirected with, and whom it reaches."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.host.gateway_machines import Machine, Machines, machines_of
from tests.host.lab import Lab
from tests.unit.worker.gateway.proxy import hellos
from tests.unit.worker.gateway.proxy.requests import BAD as BAD_REQUESTS
from tests.waiting import until

pytestmark = pytest.mark.host

GOOD, ALSO, EVIL = "good.test", "also.test", "bad.test"
SILENCE_S = 0.6
"""Longer than the proxy waits for a guest before it dials."""
ANSWER_S = 15.0
GET = b"GET / HTTP/1.1\r\nHost: good.test\r\n\r\n"
ELSEWHERE = GET.replace(b"good", b"bad")


@dataclass
class Stand:
    """A machine that may reach `good` and `also`, and knows their addresses; `evil` is a place of the world like them."""

    lab: Lab
    machine: Machine
    machines: Machines
    good: str
    goods: tuple[str, ...]
    also: str
    evil: str

    def talk(self, address: str, port: int, *parts: bytes, wait_s: float = 0.0) -> bytes:
        """What comes back until it ends, or nothing comes for a while."""

        def work() -> bytes:
            got = b""
            with contextlib.suppress(OSError), _connected(address, port) as sock:
                time.sleep(wait_s)  # the guest's own choice: how late it speaks
                for part in parts:
                    sock.sendall(part)
                while data := sock.recv(65536):
                    got += data
                    if got.endswith(b"}"):
                        sock.shutdown(socket.SHUT_WR)
            return got

        return self.machine.namespace.call(work)


@contextlib.contextmanager
def _connected(address: str, port: int) -> Iterator[socket.socket]:
    with socket.create_connection((address, port), ANSWER_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


@pytest.fixture(params=[4, 6], ids=["v4", "v6"])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
async def stand(lab: Lab, tmp_path: Path, family: int) -> AsyncIterator[Stand]:
    async with machines_of(lab, tmp_path) as machines:
        machine = machines.make()
        await machine.attach(GOOD, ALSO)
        await asyncio.to_thread(machine.redirect)
        found, both = {}, {}
        for name in (GOOD, ALSO, EVIL):
            site = lab.site(name)
            both[name] = (site.v4, site.v6)
            found[name] = site.v4 if family == 4 else site.v6
        for name in (GOOD, ALSO):
            assert await machine.addresses(name, "A" if family == 4 else "AAAA") == [found[name]]
        yield Stand(lab, machine, machines, found[GOOD], both[GOOD], found[ALSO], found[EVIL])


def named(name: str) -> bytes:
    return hellos.real(name)


def message(name: bytes = b"bad.test", *more: tuple[int, bytes]) -> bytes:
    return hellos.message(hellos.body((0, hellos.server_names(name)), *more))


TLS_TRICKS = {
    "another name": named(EVIL),
    "no name": hellos.real(None),
    "another name, byte by byte": hellos.records(named(EVIL)[5:], 1),
    "two names": hellos.record(
        hellos.message(hellos.body((0, hellos.server_names(b"good.test", b"bad.test"))))
    ),
    "two extensions": hellos.record(message(b"good.test", (0, hellos.server_names(b"bad.test")))),
    "a hidden name": hellos.record(message(b"good.test", (0xFE0D, bytes(100)))),
    "a zero byte in the name": hellos.record(message(b"bad.test\x00.good.test")),
    "a warning first": hellos.record(b"\x01\x00", 21) + named(EVIL),
    "a change of ciphers first": hellos.record(b"\x01", 20) + named(EVIL),
    "an empty record first": hellos.record(b"") + named(EVIL),
    "an old version of the record": b"\x16\x02\x00" + named(EVIL)[3:],
    "a version that only Go takes": b"\x16\x0f\xff" + named(EVIL)[3:],
    "SSL 2.0": b"\x80\x2e\x01\x03\x01\x00\x15" + bytes(60),
    "a PROXY header": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n" + named(EVIL),
    "a binary PROXY header": b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00" + named(EVIL),
    "a longer beginning": b"\n" + named(EVIL),
    "PostgreSQL's way in": bytes.fromhex("0000000804d2162f") + named(EVIL),
    "a hello that does not end": hellos.records(hellos.message(bytes(65_000)), 1),
}


@pytest.mark.parametrize("late", [0.0, SILENCE_S], ids=["at once", "late"])
async def test_no_tls_reaches_a_name_that_is_not_permitted(stand: Stand, late: float) -> None:
    """None of these hellos comes to any server that would take them for its own."""
    got = await asyncio.gather(
        *(
            asyncio.to_thread(stand.talk, stand.good, 443, data, wait_s=late)
            for data in TLS_TRICKS.values()
        )
    )
    for trick, answer in zip(TLS_TRICKS, got, strict=True):
        assert not answer.startswith(b"\x16"), f"{trick}: a server has answered"
    assert {h.sni for h in stand.lab.log.hits(port=443)} <= {""}


HTTP_TRICKS = {name: data for name, (data, _) in BAD_REQUESTS.items()} | {
    "another host after a websocket that nobody wanted": GET[:-2]
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    + ELSEWHERE,
    "another host after a line of something else": b"QUIT\r\n" + ELSEWHERE,
    "many empty lines": b"\r\n" * 50 + ELSEWHERE,
    "in lower case": ELSEWHERE.replace(b"GET", b"get"),
    "a method of its own": ELSEWHERE.replace(b"GET", b"G@T"),
    "a vertical tab": ELSEWHERE.replace(b"GET ", b"GET\x0b"),
    "a long method": b"X" * 7000 + ELSEWHERE[3:],
    "both hosts in a body and out of it": GET.replace(b"GET", b"POST")[:-2]
    + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(ELSEWHERE)
    + ELSEWHERE,
}


@pytest.mark.parametrize("late", [0.0, SILENCE_S], ids=["at once", "late"])
async def test_no_request_reaches_a_host_that_is_not_permitted(stand: Stand, late: float) -> None:
    cut = [[data] for data in HTTP_TRICKS.values()]
    cut += [[data[i : i + 1] for i in range(len(data))] for [data] in cut if len(data) < 400]
    for start in range(0, len(cut), 32):
        await asyncio.gather(
            *(
                asyncio.to_thread(stand.talk, stand.good, 80, *parts, wait_s=late)
                for parts in cut[start : start + 32]
            )
        )
    assert {h.name for h in stand.lab.log.hits(service="http")} <= {
        "good.test",
        "good.test:443",  # CONNECT's own, which was refused
    }
    assert not stand.lab.log.hits(service="http", local=stand.evil)


async def test_an_address_without_a_permitted_name_is_closed_whatever_is_said(
    stand: Stand,
) -> None:
    for port, data in ((80, GET), (443, named(GOOD)), (7, b"other\n"), (22, b"")):
        assert await asyncio.to_thread(stand.talk, stand.evil, port, data) == b""
    assert not stand.lab.log.hits(local=stand.evil)


@pytest.mark.parametrize("port", [53, 853])
async def test_dns_to_a_permitted_address_is_closed(stand: Stand, port: int) -> None:
    query = b"\x00\x1a\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\x04leak\x04test\0\0\x01\0\x01"
    assert await asyncio.to_thread(stand.talk, stand.good, port, query) == b""
    assert not stand.lab.log.hits(port=port, local=stand.good)


async def test_permitted_names_are_reached_whichever_address_the_guest_takes(
    stand: Stand, tmp_path: Path
) -> None:
    """The guest's hosts file says that one is where the other is: it comes to the right one."""
    assert b'"name": "good.test"' in await asyncio.to_thread(stand.talk, stand.also, 80, GET)
    context = ssl.create_default_context(cafile=str(stand.lab.ca_file(tmp_path)))

    def fetch() -> bytes:
        with (
            _connected(stand.also, 443) as sock,
            context.wrap_socket(sock, server_hostname=GOOD) as tls,
        ):
            tls.sendall(GET)
            got = b""
            while not got.endswith(b"}"):
                got += tls.recv(65536)
            return got

    assert b'"name": "good.test"' in await asyncio.to_thread(stand.machine.namespace.call, fetch)
    for service in ("http", "https"):
        (hit,) = stand.lab.log.hits(service=service)
        assert hit.local in stand.goods  # of either family: the first that answers


async def test_a_hello_in_pieces_reaches_its_server(stand: Stand) -> None:
    pieces = hellos.records(named(GOOD)[5:], 3)
    answer = await asyncio.to_thread(
        stand.talk, stand.good, 443, *(pieces[i : i + 5] for i in range(0, len(pieces), 5))
    )
    assert answer.startswith(b"\x16\x03")  # a ServerHello


async def test_a_server_that_speaks_first_is_reached(stand: Stand) -> None:
    def converse() -> tuple[bytes, bytes]:
        with _connected(stand.good, 22) as sock:
            greeting = sock.recv(100)
            sock.sendall(b"SSH-2.0-guest\r\n")
            return greeting, sock.recv(100)

    said = await asyncio.to_thread(stand.machine.namespace.call, converse)
    assert said == (b"220 lab greets you\r\n", b"SSH-2.0-guest\r\n")


async def test_connections_that_lead_nowhere_take_no_more_than_their_share(
    stand: Stand, family: int
) -> None:
    """Slow heads, answers that nobody reads, and more of both than there is room for: another machine is served all the
    while, and in the end this one is, too."""
    if family == 6:
        pytest.skip("once is enough")
    other = stand.machines.make()
    await other.attach(GOOD)
    await asyncio.to_thread(other.redirect)
    assert await other.addresses(GOOD) == [stand.good]
    open_: list[socket.socket] = []

    refused: list[int] = []

    def flood() -> None:
        for number in range(700):
            slow = number % 2
            try:
                sock = socket.create_connection((stand.good, 80 if slow else 7), ANSWER_S)
            except ConnectionResetError:
                refused.append(number)
                continue
            open_.append(sock)
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.send(GET[:-2] if slow else b"echo\n")
                for _ in range(0 if slow else 64):  # nobody reads what comes back
                    sock.send(bytes(256 * 1024))

    def enough_are_refused() -> bool:
        return len(refused) + sum(_is_reset(sock) for sock in open_) >= 150

    try:
        await asyncio.to_thread(stand.machine.namespace.call, flood)
        await until(enough_are_refused, 60)
        answer = await asyncio.to_thread(replace(stand, machine=other).talk, stand.good, 80, GET)
        assert b'"name": "good.test"' in answer
        assert _resident_mb(stand.machines.client.pid) < 250
    finally:
        for sock in open_:
            sock.close()

    async def served() -> bool:
        answer = await asyncio.to_thread(stand.talk, stand.good, 80, GET)
        return b'"name": "good.test"' in answer

    await until(served, 30)


def _is_reset(sock: socket.socket) -> bool:
    """Found out once, and remembered by the socket's being closed. One that was refused before it said anything has ended."""
    if sock.fileno() >= 0:
        try:
            if sock.recv(1, socket.MSG_PEEK) == b"":
                sock.close()
        except BlockingIOError:
            return False
        except OSError:
            sock.close()
    return sock.fileno() < 0


def _resident_mb(pid: int | None) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024
