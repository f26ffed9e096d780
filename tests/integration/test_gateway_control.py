"""Daemon and gateway over a real socket, in one process: who may speak, what is asked, who dies in between."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.worker.gateway.attachment import Attachment
from scaibunker.worker.gateway.control.channel import MAX_FRAME_BYTES, Broken, Channel
from scaibunker.worker.gateway.control.messages import (
    Answer,
    Attach,
    Change,
    Detach,
    PolicyMessage,
    SocketCounts,
    StatusQuery,
    Surround,
)  # fmt: skip
from scaibunker.worker.gateway.control.server import ControlServer
from scaibunker.worker.gateway.control.session import Session
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.gateway.table import Table
from scaibunker.worker.network.never import Never, networks
from scaibunker.worker.network.policy import Passage, Policy
from tests.waiting import PATIENT_S, until

POLICY = PolicyMessage.of(Policy(Passage.NAMED, 10, ("pypi.test",)))
AROUND = Surroundings(Never(networks("10.0.0.0/8")), (("127.0.0.1", 53),))


class Listening:
    """A part that keeps what it is given, and takes its time to close."""

    made: "list[Listening]"

    def __init__(self) -> None:
        self.made.append(self)
        self.may_close = asyncio.Event()
        self.may_close.set()
        self.attachment: Attachment | None = None

    def start(self, attachment: Attachment) -> None:
        self.attachment = attachment

    def change(self, policy: Policy) -> None:
        pass

    async def close(self) -> None:
        await self.may_close.wait()


class Gateway:
    server: ControlServer

    def __init__(self, folder: Path) -> None:
        Listening.made = []
        self.path = folder / "control"
        self.around = Surroundings(Never(), ())
        self.table = Table([Listening], folder)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.uid = os.getuid()

    async def connect(self) -> Channel:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, str(self.path))
        return Channel(sock)

    async def session(self) -> Session:
        return Session(await self.connect())


@contextlib.asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[Gateway]:
    server = gateway.server = ControlServer(gateway.table, gateway.around, "v1", gateway.uid)
    running = asyncio.create_task(server.run(gateway.listener))
    try:
        yield gateway
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        gateway.listener.close()
        server.close()
        await gateway.table.close()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with serving(Gateway(tmp_path)) as made:
        yield made


def attach(number: int, name: str = "m") -> Attach:
    counts = SocketCounts(dns_udp=1)
    return Attach(id=number, name=name, bunker_id="b", policy=POLICY, sockets=counts)


async def detaching_slowly(gateway: Gateway) -> tuple[Session, asyncio.Task[Answer]]:
    """A machine that is being detached: its sockets do not close before they may."""
    session = await gateway.session()
    await session.ask(lambda number: Surround.of(number, AROUND))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        await session.ask(attach, [mine.fileno()])
    Listening.made[0].may_close.clear()
    detaching = asyncio.create_task(session.ask(lambda number: Detach(id=number, name="m")))
    await until(lambda: gateway.table.names == ())
    return session, detaching


async def test_sockets_arrive_open(gateway: Gateway) -> None:
    session = await gateway.session()
    await session.ask(lambda number: Surround.of(number, AROUND))
    assert gateway.around == AROUND
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("127.0.0.1", 0))
        here = mine.getsockname()
        assert (await session.ask(attach, [mine.fileno()])).error == ""
    attachment = Listening.made[0].attachment
    assert attachment is not None
    (theirs,) = attachment.sockets.dns_udp
    assert theirs.getsockname() == here
    assert not os.get_inheritable(theirs.fileno())
    assert attachment.policy.names == ("pypi.test",)
    status = await session.ask(lambda number: StatusQuery(id=number))
    assert (status.version, status.machines) == ("v1", ("m",))
    await session.close()


async def test_nobody_is_attached_while_it_is_not_known_what_is_forbidden(gateway: Gateway) -> None:
    session = await gateway.session()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        answer = await session.ask(attach, [mine.fileno()])
    assert "surroundings" in answer.error
    assert Listening.made == []
    await session.close()


async def test_a_machine_that_is_slow_to_go_holds_up_no_other(gateway: Gateway) -> None:
    session, detaching = await detaching_slowly(gateway)
    for _ in range(5):
        await session.ask(lambda number: StatusQuery(id=number))
    assert not detaching.done()
    Listening.made[0].may_close.set()
    assert (await detaching).error == ""
    await session.close()


async def test_who_is_not_there_cannot_be_changed(gateway: Gateway) -> None:
    session = await gateway.session()
    answer = await session.ask(
        lambda number: Change(id=number, name="nobody", bunker_id="b", policy=POLICY)
    )
    assert "not attached" in answer.error
    await session.close()


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"kind":"attach","id":1}', b'{"kind":"stop","id":1}', b"\xff", b'{"id":1,"kind":"detach","name":"../x"}'],
)  # fmt: skip
async def test_what_is_no_request_does_no_harm(gateway: Gateway, body: bytes) -> None:
    channel = await gateway.connect()
    files = os.pipe()
    await channel.send(body, files)
    for number in files:
        os.close(number)
    reply, _ = await channel.receive()
    assert b"does not understand" in reply
    await channel.send(StatusQuery(id=9).model_dump_json().encode())
    reply, _ = await channel.receive()
    assert b'"id":9' in reply
    channel.close()


async def test_frames_that_are_too_large_end_the_connection(gateway: Gateway) -> None:
    channel = await gateway.connect()
    channel._sock.send((MAX_FRAME_BYTES + 1).to_bytes(4))
    with pytest.raises(Broken):
        await channel.receive()
    channel.close()
    session = await gateway.session()
    await session.ask(lambda number: StatusQuery(id=number))
    await session.close()


async def test_large_frames_pass_in_pieces(gateway: Gateway) -> None:
    session = await gateway.session()
    names = tuple(f"host-{i}.{'x' * 60}.test" for i in range(20_000))
    policy = PolicyMessage.of(Policy(Passage.NAMED, 10, names))
    answer = await session.ask(
        lambda number: Change(id=number, name="nobody", bunker_id="b", policy=policy)
    )
    assert "not attached" in answer.error
    await session.close()


async def test_another_user_is_not_listened_to(tmp_path: Path) -> None:
    made = Gateway(tmp_path)
    made.uid = os.getuid() + 1
    async with serving(made):
        session = await made.session()
        with pytest.raises(Broken):
            await session.ask(lambda number: StatusQuery(id=number))
        await session.close()


async def test_who_asked_may_go_before_it_is_done(gateway: Gateway) -> None:
    session, detaching = await detaching_slowly(gateway)
    await session.close()
    with pytest.raises(Broken):
        await detaching
    Listening.made[0].may_close.set()
    again = await gateway.session()
    assert (await again.ask(lambda number: StatusQuery(id=number))).machines == ()
    await again.close()


async def test_one_that_stops_answers_nothing_that_was_asked(gateway: Gateway) -> None:
    session, detaching = await detaching_slowly(gateway)
    gateway.server.close()
    with pytest.raises(Broken):
        await detaching
    with pytest.raises(Broken):
        await session.ask(lambda number: Change(id=number, name="m", bunker_id="b", policy=POLICY))
    Listening.made[0].may_close.set()
    await session.close()


async def test_closing_wakes_who_waits_and_leaves_others_files_alone(gateway: Gateway) -> None:
    channel = await gateway.connect()
    number = channel._sock.fileno()
    receiving = asyncio.create_task(channel.receive())
    await asyncio.sleep(0)
    channel.close()
    near, far = socket.socketpair()
    near.setblocking(False)
    assert near.fileno() == number  # the same number is another file's now
    heard = asyncio.create_task(asyncio.get_running_loop().sock_recv(near, 1))
    with pytest.raises(Broken):
        await receiving
    far.send(b"x")
    assert await asyncio.wait_for(heard, PATIENT_S) == b"x"
    near.close()
    far.close()
