"""Names for machines, as their guests ask for them, with an internet that answers as the test wants."""

import asyncio
import base64
import itertools
import socket
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest

from scaibunker.worker.network.never import Never, networks
from scaibunker.worker.network.policy import Passage
from tests.host.gateway_machines import GATEWAY_V4, GATEWAY_V6, Machine, Machines, machines_of
from tests.host.lab import Lab, plan
from tests.waiting import until

REGISTRY = "pypi.registry.test"
TTL_S = 3


@pytest.fixture
async def machines(lab: Lab, tmp_path: Path) -> AsyncIterator[Machines]:
    never = Never(vicinity=networks(f"{plan.CONTROLLER_V4}/32"))
    async with machines_of(lab, tmp_path, never, ttl_min_s=1) as made:
        yield made


@pytest.fixture
async def machine(machines: Machines) -> Machine:
    made = machines.make()
    await made.attach(REGISTRY, "*.files.test")
    return made


async def test_permitted_names_resolve_over_each_transport(lab: Lab, machine: Machine) -> None:
    site = lab.site(REGISTRY)
    for at in (GATEWAY_V4, GATEWAY_V6):
        for tcp in (False, True):
            message = await machine.ask(REGISTRY, tcp=tcp, at=at)
            assert [d.address for d in message.answer[0]] == [site.v4]
    assert await machine.addresses(REGISTRY, "AAAA") == [site.v6]
    assert len(lab.log.hits(service="dns", name=REGISTRY)) == 2


async def test_nothing_leaks_by_the_labels_of_names(lab: Lab, machine: Machine) -> None:
    lab.site(REGISTRY)
    secret = base64.b32encode(b"a secret of the guest's").decode().rstrip("=").lower()
    for name in (f"{secret}.evil.test", f"{secret}.{REGISTRY}", f"{secret}.a.files.test", secret):
        for kind in ("A", "AAAA", "TXT", "NULL", "CNAME", "MX", "HTTPS"):
            message = await machine.ask(name, kind)
            assert message.rcode() == dns.rcode.NXDOMAIN, (name, kind)
    await machine.ask(REGISTRY)
    assert {hit.name for hit in lab.log.hits()} == {REGISTRY}


async def test_a_wildcard_stands_for_one_label(lab: Lab, machine: Machine) -> None:
    for name in ("files.test", "a.files.test", "a.b.files.test"):
        lab.site(name)
    assert await machine.addresses("a.files.test")
    for name in ("files.test", "a.b.files.test"):
        assert (await machine.ask(name)).rcode() == dns.rcode.NXDOMAIN
        assert not lab.log.hits(name=name)


async def test_a_name_that_moves_is_told_anew_once_its_answer_is_over(
    lab: Lab, machine: Machine
) -> None:
    lab.names.set(REGISTRY, "203.0.113.201", ttl_s=TTL_S)
    message = await machine.ask(REGISTRY)
    assert message.answer[0].ttl == TTL_S
    lab.names.set(REGISTRY, "203.0.113.202", ttl_s=TTL_S)

    async def moved() -> bool:
        return await machine.addresses(REGISTRY) == ["203.0.113.202"]

    assert not await moved()
    await until(moved, TTL_S + 5)


async def test_nothing_carries_over_to_another_machine(lab: Lab, machines: Machines) -> None:
    lab.site(REGISTRY)
    one, two, three = machines.make(), machines.make(), machines.make()
    await one.attach(REGISTRY)
    await two.attach(REGISTRY)
    await three.attach("*.files.test")
    await one.addresses(REGISTRY)
    await one.addresses(REGISTRY)
    assert len(lab.log.hits(name=REGISTRY)) == 1
    await two.addresses(REGISTRY)
    assert len(lab.log.hits(name=REGISTRY)) == 2
    assert (await three.ask(REGISTRY)).rcode() == dns.rcode.NXDOMAIN
    await one.change("*.files.test")
    assert (await one.ask(REGISTRY)).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    "address", [plan.METADATA_V4, plan.CONTROLLER_V4, "10.99.0.1", "127.0.0.1"]
)
async def test_forbidden_addresses_are_not_told(lab: Lab, machine: Machine, address: str) -> None:
    lab.names.set(REGISTRY, address)
    message = await machine.ask(REGISTRY)
    assert (message.rcode(), message.answer) == (dns.rcode.NOERROR, [])


async def test_aliases_lead_where_they_lead(lab: Lab, machine: Machine) -> None:
    edge = lab.site("edge.cdn.test")
    lab.names.alias(REGISTRY, "edge.cdn.test", ttl_s=30)
    message = await machine.ask(REGISTRY)
    assert [r.to_text() for r in message.answer] == [f"{REGISTRY}. 30 IN A {edge.v4}"]
    assert (await machine.ask("edge.cdn.test")).rcode() == dns.rcode.NXDOMAIN


async def test_what_upstreams_make_up_is_not_passed_on(lab: Lab, machine: Machine) -> None:
    def broken(query: dns.message.Message, honest: dns.message.Message) -> bytes:
        return honest.to_wire()[:-3]

    lab.site(REGISTRY)
    lab.names.twist(REGISTRY, broken)
    assert (await machine.ask(REGISTRY)).rcode() == dns.rcode.SERVFAIL

    def of_another(query: dns.message.Message, honest: dns.message.Message) -> bytes:
        honest.answer = [dns.rrset.from_text("evil.test.", 60, "IN", "A", "203.0.113.66")]
        return honest.to_wire()

    lab.names.twist("a.files.test", of_another)
    assert (await machine.ask("a.files.test")).answer == []


async def test_open_machines_ask_what_they_like(lab: Lab, machines: Machines) -> None:
    open_one = machines.make()
    await open_one.attach(passage=Passage.OPEN)
    site = lab.site("any.test")
    lab.names.record("text.test", "TXT", '"words"')
    assert await open_one.addresses("any.test") == [site.v4]
    assert (await open_one.ask("text.test", "TXT")).answer[0].to_text().endswith('TXT "words"')
    lab.names.record("large.test", "TXT", *(f'"{"x" * 200}{i}"' for i in range(30)))
    assert (await open_one.ask("large.test", "TXT")).answer == []  # too large for UDP
    assert len((await open_one.ask("large.test", "TXT", tcp=True)).answer[0]) == 30


async def test_many_questions_on_one_connection(lab: Lab, machine: Machine) -> None:
    names = [f"n{i}.files.test" for i in range(60)]
    for name in names:
        lab.site(name)
    queries = {q.id: q for q in (dns.message.make_query(n, "A") for n in names)}

    def asked() -> dict[int, dns.message.Message]:
        with socket.create_connection((GATEWAY_V4, 53), timeout=15) as connection:
            stream = b"".join(
                len(w).to_bytes(2) + w for w in (q.to_wire() for q in queries.values())
            )
            connection.sendall(stream[:7])
            connection.sendall(stream[7:])
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as file:
                answers = [dns.message.from_wire(_next(file.read)) for _ in queries]
                assert file.read() == b""
        return {answer.id: answer for answer in answers}

    answers = await asyncio.to_thread(machine.namespace.call, asked)
    assert answers.keys() == queries.keys()
    for number, query in queries.items():
        assert query.is_response(answers[number])
        assert answers[number].answer


def _next(read: Callable[[int], bytes]) -> bytes:
    return read(int.from_bytes(read(2)))


async def test_a_machine_that_asks_without_end_keeps_no_other_waiting(
    lab: Lab, machines: Machines
) -> None:
    lab.site(REGISTRY)
    wild, calm = machines.make(), machines.make()
    await wild.attach(REGISTRY)
    await calm.attach(REGISTRY)
    stop, sent = threading.Event(), itertools.count()
    question = dns.message.make_query("evil.test", "A").to_wire()

    def flood() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((GATEWAY_V4, 53))
            while not stop.is_set():
                for _ in range(200):
                    sock.send(question)
                    next(sent)

    flooding = asyncio.create_task(asyncio.to_thread(wild.namespace.call, flood))
    try:
        while next(sent) < 20_000:
            assert await asyncio.wait_for(calm.addresses(REGISTRY), 10)
    finally:
        stop.set()
        await flooding
