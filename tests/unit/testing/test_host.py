"""A simulated host is the real daemon: it works, dies as a killed process does, and recovers."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from scaibunker.testing import lies
from scaibunker.testing.faults import BootFault
from scaibunker.testing.host import SimulatedHost
from scaibunker.wire.guest.frames import Frame, Kind
from scaibunker.wire.worker.machines import MachineState
from tests.unit.testing.ear import Ear, line, next_report, silent
from tests.waiting import until

BUNKER = "bnk_first1"


def said(frames: list[Frame], kind: Kind = Kind.STDOUT) -> bytes:
    return b"".join(frame.payload for frame in frames if frame.kind is kind)


def state_of(folder: Path) -> dict[str, bytes]:
    """Every small file below a folder."""
    return {
        str(path): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".ext4"
    }


async def running(ear: Ear, host: SimulatedHost) -> None:
    assert await ear.order(host) == 202
    await ear.until_said(BUNKER, MachineState.RUNNING)


async def test_it_is_the_real_daemon(ear: Ear, host: SimulatedHost) -> None:
    await running(ear, host)
    frames = await ear.run(host, "echo hello; hostname; env; nothing; echo bad >&2; exit 3")
    assert said(frames) == b"hello\nfirst\nWHO=me\n"
    assert said(frames, Kind.STDERR) == b"sh: 1: nothing: not found\nbad\n"
    assert frames[0].kind is Kind.STARTED
    assert frames[-1].json()["exit_code"] == 3
    async with ear.ask(host, "PUT", f"/machines/{BUNKER}/files?path=/a/b&mode=0600", b"x" * 99999):
        pass
    async with ear.ask(host, "GET", f"/machines/{BUNKER}/files?path=/a/b") as response:
        assert (response.status, len(await response.read())) == (200, 99999)
    async with ear.ask(host, "GET", f"/machines/{BUNKER}/files?path=/c") as response:
        assert (response.status, (await response.json())["code"]) == (404, "FILE_NOT_FOUND")
    big = b"y" * 3_000_000
    frames = await ear.run(host, "cat", "exe_second", stdin=big)
    assert said(frames) == big
    async with ear.ask(host, "DELETE", f"/machines/{BUNKER}") as response:
        assert response.status == 204
    assert host.machines == {}


async def test_commands_end_by_time_by_signal_and_with_their_caller(
    ear: Ear, host: SimulatedHost
) -> None:
    await running(ear, host)
    [*_, end] = await ear.run(host, "sleep 100", timeout_s=0.05)
    assert (end.json()["timed_out"], end.json()["signal"]) == (True, "SIGKILL")
    path = f"/machines/{BUNKER}/execs/exe_second"
    going = asyncio.create_task(ear.run(host, "sleep 100", "exe_second"))
    commands = host.machines[BUNKER].guest.commands
    await until(lambda: "exe_second" in commands)
    async with ear.ask(host, "POST", f"{path}/signal", b'{"signal": "SIGTERM"}') as response:
        assert response.status == 204
    assert (await going)[-1].json()["signal"] == "SIGTERM"
    left = asyncio.create_task(ear.run(host, "sleep 100", "exe_third"))
    await until(lambda: "exe_third" in commands)
    left.cancel()
    await until(lambda: not commands["exe_third"].running)


async def test_a_daemon_that_is_killed_leaves_all_as_it_was(
    ear: Ear, host: SimulatedHost, tmp_path: Path
) -> None:
    await running(ear, host)
    host.hardware.boot_s = 3600
    assert await ear.order(host, "bnk_second") == 202
    await until(lambda: "bnk_second" in host.machines)
    attached = asyncio.create_task(ear.run(host, "sleep 0.2; echo done"))
    command = host.machines[BUNKER].guest.commands
    await until(lambda: "exe_first1" in command)
    stored, tasks = state_of(tmp_path), len(asyncio.all_tasks())
    await host.kill()
    assert len(asyncio.all_tasks()) < tasks
    with pytest.raises(aiohttp.ClientError):
        await attached
    with pytest.raises(aiohttp.ClientConnectorError):
        await ear.order(host, "bnk_third1")
    assert await silent(ear)
    assert set(host.machines) == {BUNKER, "bnk_second"}
    assert host.hardware.groups.keys() == {BUNKER, "bnk_second"}
    await until(lambda: command["exe_first1"].exit is not None)  # as if nothing had happened
    assert state_of(tmp_path) == stored
    assert all('"failure":null' in text.decode() for path, text in stored.items() if "json" in path)


async def test_the_next_daemon_takes_over(ear: Ear, host: SimulatedHost) -> None:
    await running(ear, host)
    vmm = host.machines[BUNKER]
    path = f"/machines/{BUNKER}/execs/exe_spooled?mode=spool"
    async with ear.ask(host, "POST", path, line("echo one; sleep 0.3; echo two")) as response:
        assert response.status == 202
    address = host.address
    await host.kill()
    await host.start()
    await ear.until_said(BUNKER, MachineState.RUNNING)
    assert host.address == address
    assert host.machines[BUNKER] is vmm
    frames = [frame async for frame in ear.follow(host, "exe_spooled")]
    assert said(frames) == b"one\ntwo\n"
    assert frames[-1].kind is Kind.EXIT


async def test_machines_that_ended_while_nobody_looked(ear: Ear, host: SimulatedHost) -> None:
    await running(ear, host)
    await host.kill()
    host.lose_machines()
    await host.start()
    failed = await ear.until_said(BUNKER, MachineState.FAILED)
    assert failed.reason == "the machine was gone when the worker started again"


async def test_machines_that_end_are_noticed_at_once(ear: Ear, host: SimulatedHost) -> None:
    await running(ear, host)
    host.lose_machines()
    failed = await ear.until_said(BUNKER, MachineState.FAILED)
    assert "SIGKILL" in (failed.reason or "")


async def test_a_disk_that_is_lost(ear: Ear, host: SimulatedHost) -> None:
    await running(ear, host)
    with pytest.raises(RuntimeError):
        host.lose_disk()
    await host.kill()
    host.lose_disk()
    await host.start()
    assert (await next_report(ear)).machines == []


async def test_a_daemon_that_stops_leaves_its_machines(ear: Ear, host: SimulatedHost) -> None:
    await running(ear, host)
    await host.stop()
    assert not host.alive
    assert set(host.machines) == {BUNKER}
    await host.start()
    await ear.until_said(BUNKER, MachineState.RUNNING)


async def test_slow(ear: Ear, host: SimulatedHost) -> None:
    host.faults.slow_s = 0.3
    order = asyncio.create_task(ear.order(host))
    await until(lambda: BUNKER in host.machines)
    assert not order.done()
    assert await order == 202


async def test_deaf(ear: Ear, host: SimulatedHost) -> None:
    host.faults.deaf = True
    order = asyncio.create_task(ear.order(host))
    await next_report(ear)
    await next_report(ear)
    assert not order.done()
    assert host.machines == {}
    host.faults.deaf = False
    assert await order == 202


async def test_mute(ear: Ear, host: SimulatedHost) -> None:
    host.faults.mute = True
    assert await silent(ear)
    assert await ear.order(host) == 202
    host.faults.clear()
    await ear.until_said(BUNKER, MachineState.RUNNING)


async def test_lying(ear: Ear, host: SimulatedHost) -> None:
    await running(ear, host)
    host.faults.lie = lies.forgetting
    assert (await next_report(ear)).machines == []
    host.faults.lie = lies.inventing(["bnk_nobodys"])
    assert {m.bunker_id for m in (await next_report(ear)).machines} == {BUNKER, "bnk_nobodys"}
    host.faults.lie = lies.calling_all(MachineState.FAILED)
    assert [m.state for m in (await next_report(ear)).machines] == [MachineState.FAILED]
    host.faults.lie = lies.ending(BUNKER, ["exe_nobodys"])
    assert [e.exec_id for e in (await next_report(ear)).finished_execs] == ["exe_nobodys"]


@pytest.mark.parametrize(("fault", "why"), [("hangs", "did not answer"), ("panics", "stopped")])
async def test_a_boot_that_fails(ear: Ear, host: SimulatedHost, fault: BootFault, why: str) -> None:
    host.faults.boot, host.hardware.boot_s = fault, 0.2
    assert await ear.order(host) == 202
    failed = await ear.until_said(BUNKER, MachineState.FAILED)
    assert why in (failed.reason or "")
    assert host.machines == {}


async def test_an_order_that_was_accepted_is_not_forgotten(ear: Ear, host: SimulatedHost) -> None:
    host.faults.dies_after_accepting = True
    assert await ear.order(host) == 202
    await host.died()
    assert host.machines == {}
    host.faults.clear()
    await host.start()
    await ear.until_said(BUNKER, MachineState.RUNNING)


async def test_orders_that_wait_for_their_turn_are_not_forgotten(
    ear: Ear, host: SimulatedHost
) -> None:
    host.hardware.boot_s = 3600
    ordered = {f"bnk_turn{n}" for n in range(6)}
    for each in sorted(ordered):
        assert await ear.order(host, each) == 202
    await until(lambda: len(host.machines) == 2)
    await host.kill()
    await host.start()
    assert {m.bunker_id for m in (await next_report(ear)).machines} == ordered
