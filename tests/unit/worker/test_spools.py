"""All of a machine's commands: a guest that lies about them, and what becomes of them at its end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.wire.guest import frames
from scaibunker.wire.guest.execs import ExecStart
from scaibunker.wire.guest.frames import Kind
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.execs.spools import Spools
from scaibunker.worker.guest.agent import AgentRefusal, GuestAgent
from scaibunker.worker.guest.link import GuestLink
from tests.unit.worker.conftest import StartAgent
from tests.unit.worker.fake_agent import TOKEN, FakeExchange
from tests.waiting import until

LYING = (
    '{"execs": [{"exec_id": "%s", "running": true, "pid": 1, "frames_start": 0, "frames_end": 9}]}'
)
EXIT = {"exit_code": 3, "signal": None, "timed_out": False, "duration_ms": 1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bnk_abcd" / "execs"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[GuestAgent]:
    link = GuestLink(tmp_path / "agent.sock", TOKEN)
    yield GuestAgent(link)
    link.close()


@pytest.mark.parametrize("name", ["/tmp/evil", "../../evil", "exe_a.b", "exe_", "x" * 300])
async def test_a_guest_names_no_files(
    start_agent: StartAgent, tmp_path: Path, folder: Path, agent: GuestAgent, name: str
) -> None:
    async def answer(exchange: FakeExchange) -> None:
        await exchange.answer((LYING % name).encode())

    await start_agent(answer)
    before = sorted(tmp_path.rglob("*"))
    spools = Spools(folder, 1 << 20, lambda: None)
    await spools.resume(agent)
    assert sorted(tmp_path.rglob("*")) == before
    assert spools.finished() == []


async def test_the_machines_end_is_the_end_of_its_commands(
    start_agent: StartAgent, folder: Path, agent: GuestAgent
) -> None:
    async def begin(exchange: FakeExchange) -> None:
        await exchange.respond(200)
        await exchange.write(frames.encode(Kind.STDOUT, b"so far"))

    await start_agent(begin)
    news: list[None] = []
    spools = Spools(folder, 1 << 20, lambda: news.append(None))
    spool = await spools.start(agent, "exe_abcd", ExecStart(argv=["x"], timeout_s=9), b"")

    async def follow() -> bytes:
        return b"".join([data async for data in spool.follow()])

    follower = asyncio.create_task(follow())
    async with asyncio.timeout(60):
        await until(lambda: spool.status().stdout_bytes > 0, 60)
        await spools.give_up("the machine stopped")
        kinds = [frame.kind for frame in frames.Decoder().feed(await follower)]
    assert kinds == [Kind.STDOUT, Kind.ERROR]
    (told,) = spools.finished()
    assert (told.exit, told.error, told.running) == (None, "the machine stopped", False)
    assert news
    spools.acknowledge("exe_abcd")
    assert spools.finished() == []


async def test_output_that_cannot_be_stored_ends_the_following(
    start_agent: StartAgent, folder: Path, agent: GuestAgent
) -> None:
    go_on = asyncio.Event()

    async def write(exchange: FakeExchange) -> None:
        await exchange.respond(200)
        await go_on.wait()
        await exchange.write(frames.encode(Kind.STDOUT, b"x"))

    await start_agent(write)
    spools = Spools(folder, 1 << 20, lambda: None)
    spool = await spools.start(agent, "exe_abcd", ExecStart(argv=["x"], timeout_s=9), b"")
    (folder / "exe_abcd.frames").unlink()
    (folder / "exe_abcd.frames").mkdir()  # writing to it fails from now on
    go_on.set()
    await until(lambda: bool(spools.finished()), 60)
    assert "cannot store" in (spool.status().error or "")


async def test_an_id_is_used_once(start_agent: StartAgent, folder: Path, agent: GuestAgent) -> None:
    async def begin(exchange: FakeExchange) -> None:
        await exchange.respond(200)

    await start_agent(begin)
    spools = Spools(folder, 1 << 20, lambda: None)
    await spools.start(agent, "exe_abcd", ExecStart(argv=["x"], timeout_s=9), b"")
    with pytest.raises(WorkerFault, match="exists"):
        await spools.start(agent, "exe_abcd", ExecStart(argv=["x"], timeout_s=9), b"")
    await spools.close()


async def test_output_that_the_agent_no_longer_has_goes_on_from_its_oldest_byte(
    start_agent: StartAgent, folder: Path, agent: GuestAgent
) -> None:
    stored = frames.encode(Kind.STDOUT, b"so far")
    (folder / "exe_abcd.frames").write_bytes(stored)
    too_late: list[FakeExchange] = []

    async def answer(exchange: FakeExchange) -> None:
        match exchange.headers[":path"].removeprefix("/v1/execs"):
            case "":
                await exchange.respond(200)
                await exchange.write(b'{"execs": []}')
            case "/exe_abcd/frames":
                await exchange.respond(200)
                await exchange.write(frames.encode_json(Kind.EXIT, EXIT))
            case path:
                assert path == f"/exe_abcd/frames?offset={len(stored)}"
                too_late.append(exchange)
                await exchange.respond(410)
                await exchange.write(b"{}")
                return  # and never ends: it must not be waited for, or kept
        await exchange.end()

    await start_agent(answer)
    spools = Spools(folder, 1 << 20, lambda: None)
    await spools.resume(agent)
    async with asyncio.timeout(60):
        await until(lambda: bool(spools.finished()), 60)
        await too_late[0].was_reset.wait()
    (told,) = spools.finished()
    assert (told.exit and told.exit.exit_code, told.truncated) == (3, True)


async def test_nothing_is_kept_of_a_command_that_the_agent_refuses(
    start_agent: StartAgent, folder: Path, agent: GuestAgent
) -> None:
    async def refuse(exchange: FakeExchange) -> None:
        await exchange.respond(422)
        await exchange.write(
            b'{"code": "VALIDATION_ERROR", "message": "no such directory", "field": "cwd"}'
        )
        await exchange.end()

    await start_agent(refuse)
    spools = Spools(folder, 1 << 20, lambda: None)
    with pytest.raises(AgentRefusal, match="no such directory") as refused:
        await spools.start(agent, "exe_abcd", ExecStart(argv=["x"], timeout_s=9), b"")
    assert refused.value.field == "cwd"
    with pytest.raises(WorkerFault, match="no command"):
        spools.get("exe_abcd")
    assert list(folder.iterdir()) == []
