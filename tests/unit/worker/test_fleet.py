"""Machines over their whole life, on a host that exists in memory."""

from pathlib import Path

import pytest

from scaibunker.wire.codes import Code
from scaibunker.wire.worker.machines import MachineState
from scaibunker.worker import recover
from scaibunker.worker.errors import MachineNotFound, MachineNotRunning, WorkerFault
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.machine import Machine
from scaibunker.worker.machines.record import StateFolder
from tests.unit.worker.fake_host import FakeCgroups, FakeDriver, make_host, spec
from tests.waiting import until


def _fleet(host: Host) -> Fleet:
    fleet = Fleet(host, 700_000, lambda: None)
    recover.take_over(host, fleet)
    return fleet


async def _until(machine: Machine, state: MachineState) -> None:
    await until(lambda: machine.state is state)


def _nothing_is_left(host: Host, driver: FakeDriver) -> None:
    assert isinstance(host.cgroups, FakeCgroups)
    assert host.cgroups.groups == {}
    assert [v for v in driver.vmms if v.running] == []
    assert list(host.run_dir.iterdir()) == []


async def test_an_ordered_machine_runs(host: Host, driver: FakeDriver) -> None:
    fleet = _fleet(host)
    machine = fleet.order(spec())
    await _until(machine, MachineState.RUNNING)
    assert driver.requests == ["PUT /v1/identity"]
    assert isinstance(host.cgroups, FakeCgroups)
    limits = host.cgroups.groups["bnk_abcd1234"]
    assert limits.cpu_millicores == 1100  # it boots with a whole core
    assert host.cgroups.cpu["bnk_abcd1234"] == 600  # and runs with its share
    assert limits.memory_mb == 266
    timings = machine.status().timings
    assert timings.running_ms is not None
    assert timings.agent_ready_ms is not None
    assert timings.vmm_started_ms <= timings.agent_ready_ms <= timings.running_ms  # type: ignore[operator]
    await fleet.destroy_all()
    _nothing_is_left(host, driver)
    assert list(host.machines_dir.iterdir()) == []


async def test_a_network_that_this_host_cannot_give_is_refused_at_once(host: Host) -> None:
    fleet = _fleet(host)
    with pytest.raises(WorkerFault, match="unrestricted") as refused:
        fleet.order(spec(network={"profile": "unrestricted"}))
    assert refused.value.code is Code.WORKER_UNAVAILABLE  # another worker may have it
    assert list(fleet) == []


async def test_an_order_is_idempotent_and_an_id_is_used_once(host: Host) -> None:
    fleet = _fleet(host)
    machine = fleet.order(spec())
    assert fleet.order(spec()) is machine
    with pytest.raises(WorkerFault, match="another specification"):
        fleet.order(spec(memory_mb=512))
    await fleet.destroy_all()
    with pytest.raises(MachineNotFound):
        fleet.get("bnk_abcd1234")
    await fleet.destroy("bnk_abcd1234")


async def test_an_order_is_written_down_when_it_is_taken(host: Host) -> None:
    fleet = _fleet(host)
    fleet.order(spec())  # of which nothing is built before somebody waits
    record = StateFolder(host.machines_dir / "bnk_abcd1234").load()
    assert record is not None
    assert (record.spec, record.process, record.ready) == (spec(), None, False)
    await fleet.destroy(record.spec.bunker_id)


async def test_an_order_that_cannot_be_written_down_fails_with_the_reason(host: Host) -> None:
    fleet = _fleet(host)
    (host.machines_dir / "bnk_abcd1234").write_text("in the way")
    machine = fleet.order(spec())
    await _until(machine, MachineState.FAILED)
    assert (machine.status().reason or "").startswith("folders: ")
    (host.machines_dir / "bnk_abcd1234").unlink()
    await fleet.destroy(machine.id)


async def test_machines_have_users_of_their_own(host: Host) -> None:
    fleet = _fleet(host)
    uids = {fleet.order(spec(bunker_id=f"bnk_abcd{n}")).uid for n in range(3)}
    assert uids == {700_000, 700_001, 700_002}
    await fleet.destroy("bnk_abcd1")
    assert fleet.order(spec(bunker_id="bnk_abcd9")).uid == 700_001
    await fleet.destroy_all()


@pytest.mark.parametrize("broken", ["image", "vmm"])
async def test_a_step_that_fails_leaves_nothing_but_the_reason(
    host: Host, driver: FakeDriver, broken: str
) -> None:
    driver.refuses = broken == "vmm"
    fields = {"image_sha256": "cd" * 32} if broken == "image" else {}
    machine = _fleet(host).order(spec(**fields))
    await _until(machine, MachineState.FAILED)
    reason = machine.status().reason or ""
    assert reason.startswith("disk:" if broken == "image" else "VMM: QEMU ended at once")
    _nothing_is_left(host, driver)
    with pytest.raises(MachineNotRunning):
        _ = machine.agent
    # The reason outlives the daemon, until the controller has taken note.
    again = _fleet(host).get(machine.id)
    assert again.state is MachineState.FAILED
    assert again.status().reason == reason


async def test_a_guest_that_never_answers_fails_in_time(tmp_path: Path, driver: FakeDriver) -> None:
    driver.deaf = True
    host = make_host(tmp_path, driver, boot_timeout_s=0.1)
    machine = _fleet(host).order(spec())
    await _until(machine, MachineState.FAILED)
    assert "did not answer within 0.1 s" in (machine.status().reason or "")
    _nothing_is_left(host, driver)


async def test_a_vmm_that_dies_while_booting_is_noticed_at_once(
    tmp_path: Path, driver: FakeDriver
) -> None:
    driver.deaf = True
    host = make_host(tmp_path, driver, boot_timeout_s=600)
    machine = _fleet(host).order(spec())
    await until(lambda: bool(driver.agents and driver.agents[0].hellos))
    driver.vmms[0].die()
    await _until(machine, MachineState.FAILED)
    assert "stopped before its agent answered" in (machine.status().reason or "")
    _nothing_is_left(host, driver)


async def test_a_vmm_that_dies_later_is_told_with_its_cause(host: Host, driver: FakeDriver) -> None:
    told: list[MachineState] = []
    fleet = Fleet(host, 700_000, lambda: told.append(machine.state))
    recover.take_over(host, fleet)
    machine = fleet.order(spec())
    await _until(machine, MachineState.RUNNING)
    driver.vmms[0].die()
    await _until(machine, MachineState.FAILED)
    assert "killed by SIGKILL" in (machine.status().reason or "")
    assert told[-1] is MachineState.FAILED
    _nothing_is_left(host, driver)


async def test_taking_down_a_machine_that_boots(tmp_path: Path, driver: FakeDriver) -> None:
    driver.deaf = True
    host = make_host(tmp_path, driver, boot_timeout_s=600)
    fleet = _fleet(host)
    fleet.order(spec())
    await until(lambda: bool(driver.vmms))
    await fleet.destroy("bnk_abcd1234")
    _nothing_is_left(host, driver)
    assert list(host.machines_dir.iterdir()) == []


@pytest.mark.parametrize("old", [False, True])
async def test_pause_and_resume(host: Host, driver: FakeDriver, old: bool) -> None:
    driver.old_agents = old  # one that was started before agents knew how to hold still
    fleet = _fleet(host)
    machine = fleet.order(spec())
    await _until(machine, MachineState.RUNNING)
    await machine.pause()
    await machine.pause()
    assert driver.vmms[0].paused
    with pytest.raises(MachineNotRunning):
        _ = machine.agent
    await machine.resume()
    assert not driver.vmms[0].paused
    clock_first = ["PUT /v1/hold", "PUT /v1/clock", "DELETE /v1/hold"]
    assert driver.requests[1:] == clock_first
    await fleet.destroy_all()


@pytest.mark.parametrize("paused", [False, True])
async def test_the_next_daemon_takes_a_machine_over(
    host: Host, driver: FakeDriver, paused: bool
) -> None:
    first = _fleet(host)
    machine = first.order(spec())
    await _until(machine, MachineState.RUNNING)
    if paused:
        await machine.pause()
    await first.let_go()
    second = _fleet(host)
    again = second.get(machine.id)
    await _until(again, MachineState.PAUSED if paused else MachineState.RUNNING)
    assert len(driver.vmms) == 1
    if paused:
        await again.resume()
    assert again.agent is not None
    await second.destroy_all()
    _nothing_is_left(host, driver)


async def test_a_machine_that_died_meanwhile_is_failed(host: Host, driver: FakeDriver) -> None:
    first = _fleet(host)
    machine = first.order(spec())
    await _until(machine, MachineState.RUNNING)
    await first.let_go()
    driver.vmms[0].die()
    again = _fleet(host).get(machine.id)
    await _until(again, MachineState.FAILED)
    assert "gone when the worker started" in (again.status().reason or "")
    _nothing_is_left(host, driver)


async def test_a_machine_that_was_being_built_is_built(host: Host, driver: FakeDriver) -> None:
    driver.deaf = True
    first = _fleet(host)
    first.order(spec())
    await until(lambda: bool(driver.vmms))
    await first.let_go()
    await driver.close()
    driver.deaf = False
    driver.vmms[0].die()
    second = _fleet(host)
    await _until(second.get("bnk_abcd1234"), MachineState.RUNNING)
    await second.let_go()


async def test_leftovers_of_nobody_are_removed(host: Host) -> None:
    host.cgroups.create("bnk_ghost1", None)  # type: ignore[arg-type]
    (host.run_dir / "bnk_ghost1").mkdir(parents=True)
    (host.machines_dir / "bnk_ghost2").mkdir(parents=True)
    (host.machines_dir / "bnk_ghost2" / "machine.json").write_text("{half")
    _fleet(host)
    assert host.cgroups.names() == set()
    assert list(host.run_dir.iterdir()) == []
    assert list(host.machines_dir.iterdir()) == []
