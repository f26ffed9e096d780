"""The proxy over sockets: what passes, to whom, what guests are told, and what they cannot take."""

import asyncio
import contextlib
import dataclasses
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from scaibunker.worker.gateway.proxy.limits import LIMITS
from scaibunker.worker.gateway.proxy.refusal import Reason
from scaibunker.worker.gateway.proxy.room import BYTES_IN_A_MICROSECOND
from scaibunker.worker.gateway.proxy.words import HEAD_WORK
from scaibunker.worker.gateway.recorder import Verdict
from scaibunker.worker.network.never import networks
from scaibunker.worker.network.policy import CLOSED
from tests.certificates import Authority
from tests.integration.proxy.proxied import ALSO, BAD, GOOD, NAMED, OnlySome, World, world
from tests.unit.worker.gateway.proxy import hellos
from tests.waiting import loop_time, until

GET = b"GET / HTTP/1.1\r\nHost: good.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def proxied() -> AsyncIterator[World]:
    async with world() as made:
        yield made


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One answer for each request without a body."""
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)


async def echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def reset(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(1), 10)
    except ConnectionResetError:
        return True
    return False


async def is_reset(proxied: World) -> None:
    """A new connection."""
    with contextlib.suppress(ConnectionResetError):
        reader, _ = await proxied.connect()
        assert await reset(reader)


async def test_http_passes_to_where_the_proxy_finds_the_host(proxied: World) -> None:
    """The address that the guest chose is another permitted name's: that does not matter."""
    proxied.wanted = (ALSO, proxied.port)
    async with proxied.server(answering):
        reader, writer = await proxied.connect()
        writer.write(GET)
        assert await reader.readexactly(len(OK)) == OK
        writer.write(GET)
        assert await reader.readexactly(len(OK)) == OK
        writer.close()
        await until(lambda: proxied.flows)
    (flow,) = proxied.flows
    assert flow.verdict is Verdict.ALLOWED
    assert flow.host == "good.test"
    assert flow.destination == (str(ALSO), proxied.port)
    assert flow.dialled == (str(GOOD), proxied.port)
    assert (flow.bytes_sent, flow.bytes_received) == (2 * len(GET), 2 * len(OK))
    assert flow.reason is None


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (GET.replace(b"good", b"bad"), b"403", Reason.HTTP_HOST),
        (GET.replace(b"Host", b"Hosts"), b"403", Reason.HTTP_NO_HOST),
        (
            b"CONNECT good.test:443 HTTP/1.1\r\nHost: good.test:443\r\n\r\n",
            b"403",
            Reason.HTTP_CONNECT,
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"403", Reason.HTTP_2),
    ],
)
async def test_http_that_is_refused_is_told_why(
    proxied: World, request_: bytes, status: bytes, reason: Reason
) -> None:
    async with proxied.server(answering):
        reader, writer = await proxied.connect()
        writer.write(request_)
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(f"{reason.value}\n".encode())
    await until(lambda: proxied.flows)
    assert proxied.flows[0].verdict is Verdict.REFUSED
    assert proxied.flows[0].reason == reason.value
    assert proxied.flows[0].dialled is None


async def test_another_host_on_the_same_connection_is_told_so(proxied: World) -> None:
    async with proxied.server(answering):
        reader, writer = await proxied.connect()
        writer.write(GET)
        await reader.readexactly(len(OK))
        writer.write(GET.replace(b"good", b"also"))
        assert (await reader.read()).startswith(b"HTTP/1.1 421 ")
        writer.close()


async def test_an_answer_that_is_under_way_is_not_disturbed_by_a_refusal(proxied: World) -> None:
    async with proxied.server(silent):
        reader, writer = await proxied.connect()
        writer.write(GET)
        await until(lambda: proxied.asked)
        writer.write(GET.replace(b"good", b"bad"))
        assert await reset(reader)
        writer.close()


@contextlib.contextmanager
def served(tmp_path: Path) -> Iterator[ssl.SSLContext]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path).issue("server"))
    yield context


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("curve", [None, "secp384r1"])
async def test_tls_passes_also_when_the_server_asks_for_another_hello(
    proxied: World, tmp_path: Path, version: ssl.TLSVersion, curve: str | None
) -> None:
    with served(tmp_path) as context:
        if curve is not None:
            context.set_ecdh_curve(curve)
        server = await asyncio.start_server(
            lambda r, w: asyncio.ensure_future(echoing(r, w)), str(GOOD), proxied.port, ssl=context
        )
        async with server:
            client = client_context()
            client.minimum_version = client.maximum_version = version
            reader, writer = await asyncio.open_connection(
                *proxied.listening.getsockname(), ssl=client, server_hostname="good.test"
            )
            data = os.urandom(1_000_000)
            writer.write(data)
            assert await reader.readexactly(len(data)) == data
            writer.close()
            await until(lambda: proxied.flows)
    assert proxied.flows[0].verdict is Verdict.ALLOWED
    assert proxied.flows[0].host == "good.test"


@pytest.mark.parametrize(
    ("name", "alert", "reason"),
    [
        ("bad.test", "UNRECOGNIZED_NAME", Reason.TLS_NAME),
        ("many.test", "UNRECOGNIZED_NAME", Reason.TLS_NAME),
        ("a.b.many.test", "UNRECOGNIZED_NAME", Reason.TLS_NAME),
        (None, "UNRECOGNIZED_NAME", Reason.TLS_NO_NAME),
        ("gone.test", "ACCESS_DENIED", Reason.NO_ADDRESS),
    ],
)
async def test_tls_that_is_refused_is_told_by_an_alert(
    proxied: World, name: str | None, alert: str, reason: Reason
) -> None:
    with pytest.raises(ssl.SSLError) as caught:
        await asyncio.open_connection(
            *proxied.listening.getsockname(), ssl=client_context(), server_hostname=name or ""
        )
    assert alert in str(caught.value.reason)
    await until(lambda: proxied.flows)
    assert proxied.flows[0].reason == reason.value
    assert proxied.flows[0].host == (name or "good.test")


async def test_a_server_that_speaks_first_is_heard_and_then_the_guest_is_judged(
    proxied: World,
) -> None:
    heard: list[bytes] = []

    async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        heard.append(await reader.readline())
        writer.write(b"250 yes\r\n")
        heard.append(await reader.read())

    async with proxied.server(greeting):
        reader, writer = await proxied.connect()
        assert await reader.readline() == b"220 ready\r\n"
        writer.write(b"EHLO me\r\n")
        assert await reader.readline() == b"250 yes\r\n"
        writer.close()
        await until(lambda: len(heard) == 2 and proxied.flows)
        reader, writer = await proxied.connect()
        await reader.readline()
        writer.write(GET.replace(b"good", b"bad"))
        await reader.read()
        writer.close()
        await until(lambda: len(proxied.flows) == 2)
    assert heard == [b"EHLO me\r\n", b""]
    assert proxied.flows[0].host == "good.test"
    assert proxied.flows[0].dialled == (str(GOOD), proxied.port)
    assert proxied.flows[1].reason == Reason.HTTP_HOST.value


async def test_a_name_of_another_server_than_the_one_that_spoke_first_is_refused(
    proxied: World,
) -> None:
    async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        await reader.read()

    async with proxied.server(greeting):
        reader, writer = await proxied.connect()
        await reader.readline()
        writer.write(GET.replace(b"good", b"also"))
        await until(lambda: proxied.flows)
        writer.close()
    assert proxied.flows[0].reason == Reason.OTHER_SERVER.value


async def test_a_guest_that_is_late_gets_the_server_it_names(proxied: World) -> None:
    connected: list[bytes] = []

    async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(b"connected")
        with contextlib.suppress(ConnectionResetError):
            connected.append(await reader.read(10))
        connected.append(b"gone")

    async with proxied.server(noting), proxied.server(answering, ALSO):
        reader, writer = await proxied.connect()
        await until(lambda: connected)
        writer.write(GET.replace(b"good", b"also"))
        assert await reader.readexactly(len(OK)) == OK
        await until(lambda: len(connected) == 2)
        writer.close()
    assert connected == [b"connected", b"gone"]


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


async def test_addresses_that_are_closed_to_all_are_not_dialled(proxied: World) -> None:
    proxied.surroundings.never = OnlySome(vicinity=networks(f"{GOOD}/32"))
    async with proxied.server(answering):
        reader, writer = await proxied.connect()
        writer.write(GET)
        assert (await reader.read()).startswith(b"HTTP/1.1 502 ")
        writer.close()
        reader, writer = await proxied.connect()
        writer.write(b"other\r\n")
        assert await reset(reader)
        writer.close()
        await until(lambda: len(proxied.flows) == 2)
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
    reader, writer = await proxied.connect()
    writer.write(GET)
    assert (await reader.read()).startswith(b"HTTP/1.1 502 ")
    writer.close()
    reader, writer = await proxied.connect()
    writer.write(b"other\r\n")
    assert await reset(reader)
    writer.close()
    await until(lambda: len(proxied.flows) == 2)
    assert {f.reason for f in proxied.flows} == {Reason.UNREACHABLE.value}
    assert {f.verdict for f in proxied.flows} == {Verdict.ALLOWED}


@pytest.mark.parametrize("size", [1, 1_000_000, 20_000_000])
async def test_bytes_pass_as_they_are_both_ways_and_each_end_is_told(
    proxied: World, size: int
) -> None:
    async with proxied.server(echoing):
        reader, writer = await proxied.connect()
        data = b"\n" + os.urandom(size)

        async def send() -> None:
            writer.write(b"other" + data)
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await reader.read(-1) == b"other" + data
        await sending
        writer.close()
        await until(lambda: proxied.flows)
    assert proxied.flows[0].bytes_sent == proxied.flows[0].bytes_received == 6 + size
    assert proxied.flows[0].reason is None


async def test_a_guest_that_resets_is_passed_on(proxied: World) -> None:
    ended: list[object] = []

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(6)
        try:
            ended.append(await reader.read())
        except ConnectionResetError as error:
            ended.append(error)

    async with proxied.server(waiting):
        _, writer = await proxied.connect()
        writer.write(b"other\n")
        await writer.drain()
        await until(lambda: proxied.proxy._connections)
        await asyncio.sleep(0)
        writer.transport.abort()
        await until(lambda: ended and proxied.flows)


async def test_a_server_that_resets_is_passed_on(proxied: World) -> None:
    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(6)
        writer.transport.get_extra_info("socket").setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with proxied.server(breaking):
        reader, writer = await proxied.connect()
        writer.write(b"other\n")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_websocket_passes(proxied: World) -> None:
    async def agreeing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        await echoing(reader, writer)

    async with proxied.server(agreeing):
        reader, writer = await proxied.connect()
        writer.write(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x81\x05hello")
        assert await reader.readexactly(7) == b"\x81\x05hello"
        writer.close()


async def test_an_upload_passes_unread_and_the_next_request_is_judged(proxied: World) -> None:
    size = 5_000_000
    body = os.urandom(size)
    heard: list[bytes] = []

    async def taking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        heard.append(await reader.readexactly(size))
        writer.write(OK)
        heard.append(await reader.read(1))

    async with proxied.server(taking):
        reader, writer = await proxied.connect()
        head = b"POST / HTTP/1.1\r\nHost: good.test\r\nContent-Length: %d\r\n\r\n" % size
        writer.write(head + body)
        assert await reader.readexactly(len(OK)) == OK
        writer.write(GET.replace(b"good", b"bad"))
        assert (await reader.read()).startswith(b"HTTP/1.1 403 ")
        writer.close()
        await until(lambda: proxied.flows)
    assert heard == [body]
    assert proxied.flows[0].bytes_sent == len(head) + size + len(GET) - 1


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


async def test_connections_beyond_the_limit_are_reset() -> None:
    limits = dataclasses.replace(LIMITS, connections=3)
    async with world(limits) as proxied, proxied.server(echoing):
        kept = [await proxied.connect() for _ in range(3)]
        await until(lambda: len(proxied.proxy._connections) == 3)
        await is_reset(proxied)
        assert proxied.flows[0].reason == Reason.TOO_MANY.value
        kept[0][1].close()
        await until(lambda: len(proxied.flows) == 2)
        reader, writer = await proxied.connect()
        writer.write(b"other\n")
        assert await reader.readexactly(6) == b"other\n"
        for _, open_ in (*kept, (reader, writer)):
            open_.close()


async def test_a_head_that_does_not_come_to_its_end_is_refused() -> None:
    limits = dataclasses.replace(LIMITS, judge_s=0.2)
    async with world(limits) as proxied, proxied.server(silent):
        reader, writer = await proxied.connect()
        writer.write(GET[:-2])
        assert Reason.TOO_SLOW.value.encode() in await reader.read()
        writer.close()
        reader, writer = await proxied.connect()
        writer.write(b"\x16\x03\x01")
        assert (await reader.read())[0] == 0x15
        writer.close()
        reader, writer = await proxied.connect()
        writer.write(b"FOO ")
        assert await reset(reader)
        writer.close()


async def test_what_receivers_do_not_take_is_not_read_and_what_is_held_is_bounded() -> None:
    limits = dataclasses.replace(LIMITS, held=1_000_000)
    async with world(limits) as proxied:

        async def pouring(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                writer.write(bytes(1_000_000))
                await writer.drain()

        async with proxied.server(pouring):
            open_ = [await proxied.connect() for _ in range(40)]
            for _, writer in open_:
                writer.write(b"other\n")
            setting = proxied.proxy._setting
            assert setting is not None

            def stalled() -> bool:
                connections = list(proxied.proxy._connections)
                return len(connections) == 40 and all(
                    c._route.server is not None and c._route.server._pauses for c in connections
                )

            # Their readers' own buffers fill, then the kernel's, then ours.
            for reader, _ in open_:
                reader._transport.pause_reading()
            await until(stalled, 60)
            assert 0 < setting.room.held <= 1_000_000 + 40 * 4096
            for _, writer in open_:
                writer.transport.abort()
            await until(lambda: len(proxied.flows) == 40)
            await until(lambda: setting.room.held == 0)


async def test_new_connections_wait_their_turn() -> None:
    limits = dataclasses.replace(LIMITS, burst=5, per_second=20)
    async with world(limits) as proxied, proxied.server(answering), loop_time() as clock:
        for _ in range(15):
            reader, writer = await proxied.connect()
            writer.write(GET)
            assert await reader.readexactly(len(OK)) == OK
            writer.close()
        assert clock.seconds > 0.3


async def test_a_guest_that_gives_up_while_the_server_says_nothing_is_noticed(
    proxied: World,
) -> None:
    async with proxied.server(silent):
        _, writer = await proxied.connect()
        writer.write(hellos.named(b"good.test"))
        await until(lambda: proxied.asked)
        await asyncio.sleep(0)
        writer.close()
        await until(lambda: proxied.flows)


async def test_a_guest_that_has_much_judged_does_not_keep_others_from_their_turn(
    proxied: World,
) -> None:
    """Bytes are few, and work much: it is done in many turns, and in order."""
    count, turns = 3000, 0
    heard: list[bytes] = []

    async def taking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"GET"):
                heard.append(line)

    def counted() -> None:
        nonlocal turns
        turns += 1
        next_turn()

    setting = proxied.proxy._setting
    assert setting is not None
    next_turn, setting.room._next_turn = setting.room._next_turn, counted
    async with proxied.server(taking):
        _, writer = await proxied.connect()
        for number in range(count):
            writer.write(GET.replace(b"/ ", b"/%d " % number))
        await until(lambda: len(heard) == count)
        writer.close()
    assert heard == [b"GET /%d HTTP/1.1\r\n" % number for number in range(count)]
    assert turns > count * HEAD_WORK * BYTES_IN_A_MICROSECOND / LIMITS.turn / 2


async def test_idle_connections_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaibunker.worker.gateway.proxy.part.SWEEP_S", 0.05)
    limits = dataclasses.replace(LIMITS, idle_s=0.3)
    async with world(limits) as proxied, proxied.server(echoing):
        reader, writer = await proxied.connect()
        writer.write(b"other\n")
        assert await reader.readexactly(6) == b"other\n"
        assert await reset(reader)
        writer.close()
    assert proxied.flows[0].reason == Reason.IDLE.value


async def test_closing_ends_all_and_leaves_nothing() -> None:
    async with world() as proxied, proxied.server(echoing):
        open_ = [await proxied.connect() for _ in range(20)]
        for _, writer in open_[:10]:
            writer.write(b"other\n")
        await until(lambda: len(proxied.proxy._connections) == 20)
        await proxied.proxy.close()
        for reader, writer in open_:
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
            writer.close()
    assert len(proxied.flows) == 20
