"""Warm starts on a simulated host: which machine is made of what, and what becomes of it when something dies."""

import asyncio
from pathlib import Path

import pytest

from scaibunker.testing.host import SimulatedHost
from scaibunker.wire.guest.frames import Kind
from scaibunker.wire.worker.machines import MachineState
from scaibunker.wire.worker.templates import template_of
from tests.unit.testing.ear import IMAGE, Ear
from tests.unit.testing.warm_hosts import MakeHost, all_stand, created, manifests, slots, templates
from tests.waiting import until


async def with_template(ear: Ear, host: SimulatedHost, folder: Path, waiting: int = 1) -> None:
    """One bunker was booted, and the worker has made a template and so many prepared machines after it."""
    assert (await created(ear, host, "bnk_cold1")).start == "boot"  # of 64 MiB of disk
    await until(lambda: len(templates(folder)) == 1 and not templates(folder)[0].startswith("."))
    await until(lambda: len(slots(host)) == waiting and all_stand(host))


async def test_the_second_machine_of_a_shape_is_made_of_a_template(
    ear: Ear, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host(warm_slots=1)
    await host.start()
    await with_template(ear, host, tmp_path)
    (prepared,) = slots(host)
    assert prepared in host.hardware.groups
    vmm = host.machines[prepared]

    second = await created(
        ear, host, "bnk_warm1", hostname="second", env={"WHO": "you"}, disk_mb=640
    )
    assert second.start == "template"
    assert host.machines[prepared] is vmm  # it was the one that stood ready
    assert vmm.disk_mb == 640
    frames = await ear.run(host, "hostname; env", bunker_id="bnk_warm1")
    output = b"".join(f.payload for f in frames if f.kind is Kind.STDOUT)
    assert output == b"second\nWHO=you\n"
    await until(lambda: len(slots(host)) == 2)  # the next one stands ready

    async with ear.ask(host, "DELETE", "/machines/bnk_warm1") as response:
        assert response.status == 204
    assert prepared not in host.machines
    assert prepared not in host.hardware.groups
    assert not (tmp_path / "warm/run/wrk_warm" / prepared).exists()
    told = ear.reports[-1].templates
    assert [template.name for template in told] == [template_of(IMAGE, 500, 256, "isolated")]
    other = await created(ear, host, "bnk_other1", memory_mb=512)
    assert other.start == "boot"
    await until(lambda: len(ear.reports[-1].templates) == 2)


async def test_clones_have_tokens_of_their_own(
    ear: Ear, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host(warm_slots=2)
    await host.start()
    await with_template(ear, host, tmp_path, 2)
    unowned = {host.machines[name].guest.token for name in slots(host)}
    assert len(unowned) == 1
    ours = slots(host)
    await asyncio.gather(*(ear.order(host, f"bnk_warm{n}") for n in (1, 2)))
    for n in (1, 2):
        assert (await ear.until_said(f"bnk_warm{n}", MachineState.RUNNING)).start == "template"
    tokens = [host.machines[name].guest.token for name in ours]
    generations = {host.machines[name].guest.generation for name in ours}
    assert len({*tokens, *unowned}) == 3
    assert len(generations) == 2


async def test_more_creates_than_prepared_machines(
    ear: Ear, make_host: MakeHost, tmp_path: Path
) -> None:
    """The template itself gives as many as are asked for at once."""
    host = make_host(warm_slots=0)
    await host.start()
    await with_template(ear, host, tmp_path, 0)
    await asyncio.gather(*(ear.order(host, f"bnk_warm{n}") for n in range(6)))
    for n in range(6):
        assert (await ear.until_said(f"bnk_warm{n}", MachineState.RUNNING)).start == "template"
    assert len(slots(host)) == 6


@pytest.mark.parametrize("fault", ["refused", "panics"])
@pytest.mark.parametrize("waiting", [0, 1])
async def test_a_template_that_is_of_no_use_costs_a_cold_boot_and_is_thrown_away(
    ear: Ear, make_host: MakeHost, tmp_path: Path, fault: str, waiting: int
) -> None:
    host = make_host(warm_slots=waiting)
    await host.start()
    await with_template(ear, host, tmp_path, waiting)
    host.faults.restore = fault  # type: ignore[assignment]
    for name in slots(host):
        host.machines[name].ends_at_once = True
    status = await created(ear, host, "bnk_warm1")
    assert status.start == "boot"
    assert templates(tmp_path) == []
    await until(lambda: set(host.machines) == {"bnk_cold1", "bnk_warm1"})
    assert host.hardware.groups.keys() == {"bnk_cold1", "bnk_warm1"}


async def test_a_prepared_machine_that_ends_is_replaced(
    ear: Ear, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    await host.start()
    await with_template(ear, host, tmp_path)
    (first,) = slots(host)
    host.hardware.end(host.machines[first], "it was killed")
    await until(lambda: len(slots(host)) == 1 and first not in host.hardware.groups)
    assert (await created(ear, host, "bnk_warm1")).start == "template"


async def test_a_daemon_that_dies_leaves_no_machine_without_an_owner(
    ear: Ear, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    await host.start()
    await with_template(ear, host, tmp_path)
    assert (await created(ear, host, "bnk_warm1")).start == "template"
    await until(lambda: len(slots(host)) == 2 and all_stand_but_one(host))
    await host.kill()
    assert len(slots(host)) == 2
    await host.start()
    status = await ear.until_said("bnk_warm1", MachineState.RUNNING)
    assert status.start == "template"
    assert len(host.machines) == 2  # the bunkers
    assert len(host.hardware.groups) == 2
    assert list((tmp_path / "warm/templates/slots").glob("*")) == []
    assert (
        await created(ear, host, "bnk_warm2")
    ).start == "template"  # which the dead one had made


def all_stand_but_one(host: SimulatedHost) -> bool:
    return sum(host.machines[name].guest.thawed.is_set() for name in slots(host)) == 1


async def test_a_daemon_that_dies_while_it_makes_a_template(
    ear: Ear, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host(boot_s=0.2)
    await host.start()
    assert await ear.order(host, "bnk_cold1") == 202
    await until(lambda: "bnk_cold1" in host.machines)
    host.hardware.boot_s = 3600
    await ear.until_said("bnk_cold1", MachineState.RUNNING)
    await until(lambda: making(host) != [])
    (half,) = templates(tmp_path)
    assert half.startswith(".")
    await host.kill()
    (left,) = making(host)
    host.hardware.boot_s = 0
    await host.start()
    assert left not in host.machines
    assert host.hardware.groups.keys() == {"bnk_cold1"}
    assert templates(tmp_path) == []
    assert (await created(ear, host, "bnk_cold2")).start == "boot"
    await until(lambda: len(slots(host)) == 1 and all_stand(host))
    assert (await created(ear, host, "bnk_warm1")).start == "template"


def making(host: SimulatedHost) -> list[str]:
    """Machines that are to become templates."""
    return [name for name in host.machines if name.startswith("tpl_")]


async def test_templates_of_another_agent_are_of_no_use(
    ear: Ear, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    await host.start()
    await with_template(ear, host, tmp_path)
    (old,) = templates(tmp_path)
    await host.stop()
    assert slots(host) == []
    host.hardware.agent_version = "2"
    await host.start()
    await until(lambda: templates(tmp_path) == [])
    assert (await created(ear, host, "bnk_other1")).start == "boot"
    await until(
        lambda: len(templates(tmp_path)) == 1 and not templates(tmp_path)[0].startswith(".")
    )
    assert templates(tmp_path) != [old]


async def test_a_template_has_the_smallest_disk_that_was_asked_for(
    ear: Ear, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    await host.start()
    assert (await created(ear, host, "bnk_cold1", disk_mb=1024)).start == "boot"
    await until(lambda: len(slots(host)) == 1 and all_stand(host))
    (first,) = slots(host)
    assert (await created(ear, host, "bnk_warm1", disk_mb=1024)).start == "template"
    assert host.machines[first].disk_mb is None  # it was as large already
    assert (await created(ear, host, "bnk_cold2", disk_mb=512)).start == "boot"
    await until(lambda: ['"disk_mb":512' in text for text in manifests(tmp_path)] == [True])
    for number, disk_mb in enumerate((512, 1024)):
        assert (await created(ear, host, f"bnk_small{number}", disk_mb=disk_mb)).start == "template"
    assert len(templates(tmp_path)) == 1


async def test_a_disk_limit_that_is_too_small_for_any(
    ear: Ear, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host(warm_disk_mb=0)
    await host.start()
    for n in range(2):
        assert (await created(ear, host, f"bnk_cold{n}")).start == "boot"
    await until(lambda: set(host.machines) == {"bnk_cold0", "bnk_cold1"})


async def test_they_can_be_switched_off(ear: Ear, make_host: MakeHost, tmp_path: Path) -> None:
    host = make_host(warm_starts=False)
    await host.start()
    for n in range(2):
        assert (await created(ear, host, f"bnk_cold{n}")).start == "boot"
    assert not (tmp_path / "warm/templates").exists()
