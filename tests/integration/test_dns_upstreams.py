"""Upstreams as they are met: silent, wrong, forged, cut short."""

import socket

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from scaibunker.worker.gateway.resolver import upstream as module
from scaibunker.worker.gateway.resolver.upstream import UpstreamFailed, Upstreams
from scaibunker.worker.gateway.resolver.wire import wire_of
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.never import Never
from tests.integration.dns_upstream import Answer, UpstreamServer, upstream

QUESTION = wire_of("pypi.test") + b"\0\1\0\1"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_S", (0.2, 0.4))


def respond(
    query: dns.message.Message, address: str = "192.0.2.1", rcode: int = 0, flags: int = 0
) -> dns.message.Message:
    answer = dns.message.make_response(query)
    answer.set_rcode(dns.rcode.Rcode(rcode))
    answer.flags |= flags
    if not rcode and not flags & dns.flags.TC:
        answer.answer = [dns.rrset.from_text(query.question[0].name, 60, "IN", "A", address)]
    return answer


def good(query: dns.message.Message, tcp: bool) -> list[bytes]:
    return [respond(query).to_wire()]


def silent(query: dns.message.Message, tcp: bool) -> list[bytes]:
    return []


def fails(query: dns.message.Message, tcp: bool) -> list[bytes]:
    return [respond(query, rcode=dns.rcode.SERVFAIL).to_wire()]


async def ask(*servers: UpstreamServer | tuple[str, int]) -> dns.message.Message:
    addresses = tuple(s.address if isinstance(s, UpstreamServer) else s for s in servers)
    return dns.message.from_wire(await Upstreams(Surroundings(Never(), addresses)).ask(QUESTION))


def address_of(message: dns.message.Message) -> str:
    return str(message.answer[0][0].address)


async def test_asks_the_first() -> None:
    async with upstream(good) as first, upstream(good) as second:
        assert address_of(await ask(first, second)) == "192.0.2.1"
        (query, tcp), *more = first.asked
        assert not tcp
        assert not more
        assert query.flags & dns.flags.RD
        assert query.edns == 0
        assert not second.asked


@pytest.mark.parametrize("answer", [silent, fails])
async def test_asks_the_second_when_the_first_does_not_know(answer: Answer) -> None:
    async with upstream(answer) as first, upstream(good) as second:
        assert address_of(await ask(first, second)) == "192.0.2.1"
        assert first.asked


async def test_asks_the_second_when_nobody_listens_at_the_first() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        nobody = held.getsockname()
    async with upstream(good) as second:
        assert address_of(await ask(nobody, second)) == "192.0.2.1"


async def test_one_that_was_silent_is_asked_last() -> None:
    async with upstream(silent) as first, upstream(good) as second:
        asking = Upstreams(Surroundings(Never(), (first.address, second.address)))
        await asking.ask(QUESTION)
        await asking.ask(QUESTION)
        assert len(first.asked) == 1
        assert len(second.asked) == 2


async def test_asks_again_when_an_answer_is_lost() -> None:
    calls: list[int] = []

    def second_time(query: dns.message.Message, tcp: bool) -> list[bytes]:
        calls.append(query.id)
        return good(query, tcp) if len(calls) > 1 else []

    async with upstream(second_time) as server:
        assert address_of(await ask(server)) == "192.0.2.1"
    assert len(calls) == 2


async def test_nobody_knows() -> None:
    async with upstream(silent) as server:
        with pytest.raises(UpstreamFailed):
            await ask(server)
    with pytest.raises(UpstreamFailed):
        await ask()
    async with upstream(fails) as server:
        assert (await ask(server)).rcode() == dns.rcode.SERVFAIL


async def test_answers_to_other_questions_are_not_believed() -> None:
    def forged(query: dns.message.Message, tcp: bool) -> list[bytes]:
        other_number = respond(query, "203.0.113.1")
        other_number.id = query.id ^ 1
        other_name = respond(dns.message.make_query("evil.test", "A", id=query.id), "203.0.113.2")
        other_type = respond(dns.message.make_query("pypi.test", "AAAA", id=query.id))
        other_type.answer = []
        echo = query.to_wire()
        wrong = [
            other_number.to_wire(),
            other_name.to_wire(),
            other_type.to_wire(),
            echo,
            b"",
            b"x",
        ]
        return [*wrong, respond(query).to_wire()]

    async with upstream(forged) as server:
        assert address_of(await ask(server)) == "192.0.2.1"
        assert len(server.asked) == 1


async def test_who_guesses_makes_us_ask_by_tcp() -> None:
    def guessing(query: dns.message.Message, tcp: bool) -> list[bytes]:
        if tcp:
            return good(query, tcp)
        forged = respond(query, "203.0.113.1").to_wire()[2:]
        return [number.to_bytes(2) + forged for number in range(40) if number != query.id]

    async with upstream(guessing) as server:
        assert address_of(await ask(server)) == "192.0.2.1"
        assert server.asked[-1][1]


async def test_numbers_and_ports_are_chosen_anew() -> None:
    async with upstream(good) as server:
        asking = Upstreams(Surroundings(Never(), (server.address,)))
        for _ in range(20):
            await asking.ask(QUESTION)
        assert len({query.id for query, _ in server.asked}) > 15


async def test_what_was_cut_short_is_asked_by_tcp() -> None:
    def cut(query: dns.message.Message, tcp: bool) -> list[bytes]:
        return [respond(query, flags=0 if tcp else dns.flags.TC).to_wire()]

    async with upstream(cut) as server:
        assert address_of(await ask(server)) == "192.0.2.1"
        assert [tcp for _, tcp in server.asked] == [False, True]


async def test_those_without_edns_are_asked_without() -> None:
    def old(query: dns.message.Message, tcp: bool) -> list[bytes]:
        if query.edns >= 0:
            return [query.to_wire()[:2] + b"\x81\x81" + b"\0" * 8]
        return good(query, tcp)

    async with upstream(old) as server:
        asking = Upstreams(Surroundings(Never(), (server.address,)))
        for _ in range(2):
            message = dns.message.from_wire(await asking.ask(QUESTION))
            assert address_of(message) == "192.0.2.1"
        assert [query.edns for query, _ in server.asked] == [0, -1, -1]


async def test_half_an_answer_by_tcp_is_none() -> None:
    def half(query: dns.message.Message, tcp: bool) -> list[bytes]:
        if not tcp:
            return [respond(query, flags=dns.flags.TC).to_wire()]
        return [respond(query).to_wire()[:20]]

    async with upstream(half) as first, upstream(good) as second:
        assert address_of(await ask(first, second)) == "192.0.2.1"
