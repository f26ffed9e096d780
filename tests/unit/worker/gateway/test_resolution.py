"""What a machine may know, by its policy."""

import asyncio
import ipaddress
import itertools

import dns.rcode
import pytest
from structlog.testing import capture_logs

from scaibunker.worker.gateway.lookup import Unresolved
from scaibunker.worker.gateway.resolver.limits import Limits
from scaibunker.worker.gateway.resolver.resolution import GRACE_S
from scaibunker.worker.network.never import Never, networks
from scaibunker.worker.network.policy import CLOSED, Passage, Policy
from tests.unit.worker.gateway.scripted import Machine

ADDRESS = ipaddress.ip_address("198.51.100.1")


def machine(*names: str, **options: object) -> Machine:
    made = Machine(*(names or ("pypi.test", "*.files.test")), **options)
    made.upstreams.set("pypi.test", "A", str(ADDRESS))
    made.upstreams.set("pypi.test", "AAAA", "2001:db8::1")
    made.upstreams.set("one.files.test", "A", "198.51.100.2")
    return made


async def test_permitted_names_have_their_addresses() -> None:
    guest = machine()
    assert await guest.addresses("pypi.test") == [str(ADDRESS)]
    assert await guest.addresses("pypi.test", "AAAA") == ["2001:db8::1"]
    assert await guest.addresses("ONE.files.test") == ["198.51.100.2"]


@pytest.mark.parametrize(
    "name",
    [
        "evil.test",
        "files.test",
        "a.one.files.test",
        "secret.pypi.test",
        "test",
        ".",
        "pypi.test.evil",
    ],
)
@pytest.mark.parametrize("kind", ["A", "AAAA", "TXT", "HTTPS", "NS", "PTR", "ANY", "NULL"])
async def test_no_other_name_is_asked_of_anybody(name: str, kind: str) -> None:
    guest = machine()
    message = await guest.ask(name, kind)
    assert message.rcode() == dns.rcode.NXDOMAIN
    assert message.authority
    assert guest.upstreams.asked == []


@pytest.mark.parametrize("kind", ["HTTPS", "SVCB", "TXT", "MX", "ANY", "CNAME", "NULL"])
async def test_a_permitted_name_has_addresses_alone(kind: str) -> None:
    guest = machine()
    message = await guest.ask("pypi.test", kind)
    assert message.rcode() == dns.rcode.NOERROR
    assert message.answer == []
    assert message.authority
    assert guest.upstreams.asked == []


async def test_aliases_are_followed_to_names_that_need_no_permission() -> None:
    guest = machine()
    guest.upstreams.rows["pypi.test", "A"] = [("pypi.test.", 90, "CNAME", "edge.cdn.test.")]
    guest.upstreams.rows["edge.cdn.test", "A"] = [("edge.cdn.test.", 40, "A", "198.51.100.9")]
    message = await guest.ask("pypi.test")
    assert [rrset.to_text() for rrset in message.answer] == ["pypi.test. 40 IN A 198.51.100.9"]
    assert guest.upstreams.asked == [("pypi.test", "A"), ("edge.cdn.test", "A")]


async def test_aliases_that_go_on_and_on_fail() -> None:
    guest = machine()
    guest.upstreams.set("pypi.test", "A")
    names = ["pypi.test", *(f"n{i}.test" for i in range(9))]
    for name, target in itertools.pairwise(names):
        guest.upstreams.rows[name, "A"] = [(f"{name}.", 60, "CNAME", f"{target}.")]
    assert (await guest.ask("pypi.test")).rcode() == dns.rcode.SERVFAIL
    assert len(guest.upstreams.asked) == 4


async def test_the_guest_may_reach_what_it_was_told_for_as_long_as_it_was_told() -> None:
    guest = machine()
    answers = guest.attachment.answers
    assert answers.names(ADDRESS) == ()
    message = await guest.ask("Pypi.Test")
    assert message.answer[0].ttl == 60
    assert answers.names(ADDRESS) == ("pypi.test",)
    guest.clock.at += 60 + GRACE_S - 0.1
    assert answers.names(ADDRESS) == ("pypi.test",)
    guest.clock.at += 0.2
    assert answers.names(ADDRESS) == ()


async def test_what_did_not_fit_was_not_told() -> None:
    guest = machine("big.test")
    many = [f"2001:db8::{i:x}" for i in range(1, 30)]
    guest.upstreams.set("big.test", "AAAA", *many)
    message = await guest.ask("big.test", "AAAA")
    assert message.answer == []
    assert guest.attachment.answers.names(ipaddress.ip_address(many[0])) == ()
    assert len((await guest.ask("big.test", "AAAA", tcp=True)).answer[0]) == 29
    assert guest.attachment.answers.names(ipaddress.ip_address(many[0])) == ("big.test",)


@pytest.mark.parametrize(("ttl", "told"), [(0, 5), (4, 5), (77, 77), (86_400, 300)])
async def test_ttls_are_kept_in_their_bounds(ttl: int, told: int) -> None:
    guest = machine()
    guest.upstreams.set("pypi.test", "A", str(ADDRESS), ttl=ttl)
    assert (await guest.ask("pypi.test")).answer[0].ttl == told


async def test_an_answer_is_given_again_until_it_is_over_and_then_asked_for_anew() -> None:
    guest = machine()
    await guest.ask("pypi.test")
    guest.clock.at += 20
    assert (await guest.ask("pYPi.test")).answer[0].ttl == 40
    assert len(guest.upstreams.asked) == 1
    guest.upstreams.set("pypi.test", "A", "198.51.100.200")
    guest.clock.at += 41
    assert await guest.addresses("pypi.test") == ["198.51.100.200"]
    assert len(guest.upstreams.asked) == 2


async def test_one_question_is_asked_once_however_many_wait() -> None:
    guest = machine()
    guest.upstreams.held = asyncio.Event()
    asking = [asyncio.create_task(guest.addresses("pypi.test")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    guest.upstreams.held.set()
    await asyncio.gather(*asking)
    assert guest.upstreams.asked == [("pypi.test", "A")]
    assert len(guest.sent) == 20


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "169.254.169.254", "10.1.2.3", "203.0.113.7", "224.0.0.1", "0.0.0.0"],  # noqa: S104
)
async def test_forbidden_addresses_are_not_told(address: str) -> None:
    guest = machine()
    guest.upstreams.set("pypi.test", "A", address)
    message = await guest.ask("pypi.test")
    assert (message.rcode(), message.answer) == (dns.rcode.NOERROR, [])
    assert guest.attachment.answers.names(ipaddress.ip_address(address)) == ()
    guest.clock.at += 400
    guest.upstreams.set("pypi.test", "A", address, str(ADDRESS))
    assert await guest.addresses("pypi.test") == [str(ADDRESS)]


async def test_what_guests_ask_for_is_not_in_the_log() -> None:
    guest = machine()
    guest.upstreams.set("pypi.test", "A", "169.254.169.254")
    with capture_logs() as lines:
        for _ in range(3):
            await guest.ask("pypi.test")
            await guest.ask("evil.test")
            guest.clock.at += 400
    told = [line for line in lines if line["log_level"] != "debug"]
    assert [line["event"] for line in told] == ["resolver_forbidden_address"]  # once a name
    assert not any("test" in str(value) for line in told for value in line.values())


async def test_what_becomes_forbidden_is_not_told_from_the_cache() -> None:
    guest = machine()
    assert await guest.addresses("pypi.test")
    guest.surroundings.never = Never(vicinity=networks("198.51.100.0/24"))
    assert await guest.addresses("pypi.test") == []


async def test_failures_are_said_and_soon_tried_again() -> None:
    guest = machine()
    guest.upstreams.fails = True
    assert (await guest.ask("pypi.test")).rcode() == dns.rcode.SERVFAIL
    guest.upstreams.fails = False
    guest.clock.at += 3
    assert await guest.addresses("pypi.test") == [str(ADDRESS)]


async def test_names_that_are_not_there() -> None:
    guest = machine("gone.test", "v4.test")
    guest.upstreams.set("v4.test", "A", str(ADDRESS))
    assert (await guest.ask("gone.test")).rcode() == dns.rcode.NXDOMAIN
    assert (await guest.ask("v4.test", "AAAA")).rcode() == dns.rcode.NOERROR


async def test_nothing_is_answered_before_a_policy_is_admitted() -> None:
    guest = machine(passage=Passage.CLOSED)
    assert (await guest.ask("pypi.test")).rcode() == dns.rcode.REFUSED
    assert guest.upstreams.asked == []


async def test_a_new_policy_counts_at_once_and_forgets_the_old() -> None:
    guest = machine()
    await guest.ask("pypi.test")
    guest.attachment.policy = Policy(Passage.NAMED, 100, ("one.files.test",))
    guest.resolution.change(guest.attachment.policy)
    assert (await guest.ask("pypi.test")).rcode() == dns.rcode.NXDOMAIN
    assert guest.attachment.answers.names(ADDRESS) == ()
    assert await guest.addresses("one.files.test")
    guest.attachment.policy = CLOSED
    guest.resolution.change(CLOSED)
    assert guest.attachment.answers.names(ipaddress.ip_address("198.51.100.2")) == ()


async def test_what_was_asked_by_the_old_policy_is_not_told_by_the_new() -> None:
    guest = machine()
    guest.upstreams.held = asyncio.Event()
    asking = asyncio.create_task(guest.addresses("pypi.test"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    guest.attachment.policy = CLOSED
    guest.resolution.change(CLOSED)
    guest.upstreams.held.set()
    assert (await guest.ask("pypi.test")).rcode() == dns.rcode.REFUSED
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert len(guest.sent) == 1


async def test_open_machines_may_ask_anything() -> None:
    guest = machine(passage=Passage.OPEN)
    guest.upstreams.set("any.test", "TXT", '"free text"')
    message = await guest.ask("any.test", "TXT")
    assert message.answer[0].to_text() == 'any.test. 60 IN TXT "free text"'
    assert (await guest.ask("gone.test", "TXT")).rcode() == dns.rcode.NXDOMAIN
    assert await guest.addresses("pypi.test") == [str(ADDRESS)]
    assert guest.attachment.answers.names(ADDRESS) == ("pypi.test",)
    assert (await guest.ask("any.test", "AXFR")).rcode() == dns.rcode.NOTIMP


async def test_open_machines_get_upstreams_errors_as_they_are() -> None:
    guest = machine(passage=Passage.OPEN)
    guest.upstreams.rcode = dns.rcode.REFUSED
    assert (await guest.ask("pypi.test")).rcode() == dns.rcode.REFUSED


async def test_the_cache_is_bounded() -> None:
    guest = machine("*.files.test", limits=Limits(cached=10))
    for number in range(30):
        guest.upstreams.set(f"n{number}.files.test", "A", "198.51.100.2")
        await guest.ask(f"n{number}.files.test")
    assert len(guest.resolution._cache) == 10
    await guest.ask("n29.files.test")
    assert len(guest.upstreams.asked) == 30


class TestLookup:
    async def test_gives_both_families(self) -> None:
        guest = machine()
        found = await guest.resolution.addresses("Pypi.test.")
        assert [str(a) for a in found] == [str(ADDRESS), "2001:db8::1"]
        assert guest.attachment.answers.names(ADDRESS) == ()  # the guest was told nothing

    async def test_one_family_will_do(self) -> None:
        found = await machine().resolution.addresses("one.files.test")
        assert [str(a) for a in found] == ["198.51.100.2"]

    @pytest.mark.parametrize("name", ["evil.test", "a.one.files.test", "", "a b", "127.0.0.1"])
    async def test_no_other_name_is_asked_of_anybody(self, name: str) -> None:
        guest = machine()
        with pytest.raises(Unresolved):
            await guest.resolution.addresses(name)
        assert guest.upstreams.asked == []

    async def test_forbidden_addresses_are_none(self) -> None:
        guest = machine("bad.test")
        guest.upstreams.set("bad.test", "A", "169.254.169.254")
        guest.upstreams.set("bad.test", "AAAA", "::1")
        with pytest.raises(Unresolved, match="no address"):
            await guest.resolution.addresses("bad.test")

    async def test_failures_have_their_reason(self) -> None:
        guest = machine()
        guest.upstreams.fails = True
        with pytest.raises(Unresolved, match="upstreams failed"):
            await guest.resolution.addresses("pypi.test")
