"""Where connections may go: what is closed, what is not there, and what a change of the policy ends."""

import dataclasses

import pytest

from scaibunker.worker.gateway.proxy.refusal import Reason
from scaibunker.worker.gateway.recorder import Verdict
from scaibunker.worker.network.never import networks
from scaibunker.worker.network.policy import CLOSED
from tests.integration.proxy.ends import GET, OK, answering, is_reset, reset
from tests.integration.proxy.proxied import ALSO, BAD, GOOD, NAMED, OnlySome, World
from tests.waiting import until


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: setattr(w, "wanted", (GOOD, 53)), Reason.PORT_CLOSED),
        (lambda w: setattr(w, "wanted", (GOOD, 853)), Reason.PORT_CLOSED),
        (lambda w: setattr(w, "wanted", (BAD, 80)), Reason.NOT_RESOLVED),
        (lambda w: w.change(CLOSED), Reason.NOT_RESOLVED),
    ],
)
async def test_where_nothing_may_go_is_reset_at_once(
    proxied: World, change: object, reason: Reason
) -> None:
    assert callable(change)
    change(proxied)
    await is_reset(proxied)
    await until(lambda: proxied.flows)
    assert proxied.flows[0].verdict is Verdict.REFUSED
    assert proxied.flows[0].reason == reason.value


async def is_not_reached(proxied: World) -> None:
    """Whoever asks for a page is told so, anybody else is cut off; of each there is a record."""
    reader, writer = await proxied.connect()
    writer.write(GET)
    assert (await reader.read()).startswith(b"HTTP/1.1 502 ")
    writer.close()
    reader, writer = await proxied.connect()
    writer.write(b"other\r\n")
    assert await reset(reader)
    writer.close()
    await until(lambda: len(proxied.flows) == 2)


async def test_addresses_that_are_closed_to_all_are_not_dialled(proxied: World) -> None:
    proxied.surroundings.never = OnlySome(vicinity=networks(f"{GOOD}/32"))
    async with proxied.server(answering):
        await is_not_reached(proxied)
    assert [f.reason for f in proxied.flows] == [
        Reason.NO_ADDRESS.value,
        Reason.ADDRESS_CLOSED.value,
    ]


async def test_addresses_are_tried_one_after_the_other(proxied: World) -> None:
    async with proxied.server(answering):
        reader, writer = await proxied.connect()
        writer.write(GET.replace(b"good", b"a.many"))
        assert await reader.readexactly(len(OK)) == OK
        writer.close()
        await until(lambda: proxied.flows)
    assert proxied.flows[0].dialled == (str(GOOD), proxied.port)


async def test_a_server_that_is_not_there(proxied: World) -> None:
    await is_not_reached(proxied)
    assert {f.reason for f in proxied.flows} == {Reason.UNREACHABLE.value}
    assert {f.verdict for f in proxied.flows} == {Verdict.ALLOWED}


async def test_a_change_of_the_policy_ends_what_it_would_refuse(
    proxied: World,
) -> None:
    async with proxied.server(answering), proxied.server(answering, ALSO):
        reader, writer = await proxied.connect()
        writer.write(GET)
        await reader.readexactly(len(OK))
        proxied.wanted = (ALSO, proxied.port)
        other_reader, other_writer = await proxied.connect()
        other_writer.write(b"other\r\n\r\n")
        await other_reader.readexactly(len(OK))
        proxied.change(dataclasses.replace(NAMED, names=("good.test",)))
        assert await reset(other_reader)
        writer.write(GET)
        assert await reader.readexactly(len(OK)) == OK
        for open_ in (writer, other_writer):
            open_.close()
        await until(lambda: len(proxied.flows) == 2)
    assert proxied.flows[0].reason == Reason.POLICY_CHANGED.value
