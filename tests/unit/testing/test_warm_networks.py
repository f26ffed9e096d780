"""Warm starts with a network device: prepared machines have a closed network of their own until they are bunkers."""

from pathlib import Path

from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.wire.worker.templates import template_of
from scaibunker.worker.network.port import Owner
from tests.unit.testing.ear import IMAGE, Ear
from tests.unit.testing.warm_hosts import MakeHost, all_stand, created, slots, templates
from tests.waiting import until

PROFILES = ("isolated", "registry", "allowlisted")


def order(profile: str) -> NetworkOrder:
    return NetworkOrder.model_validate({"profile": profile})


async def test_a_prepared_machine_is_nobodys_and_closed_until_it_is_a_bunker(
    ear: Ear, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host(warm_slots=1, network_profiles=PROFILES)
    await host.start()
    given = host.hardware.networks
    assert (await created(ear, host, "bnk_cold1", network=order("registry"))).start == "boot"
    await until(lambda: len(slots(host)) == 1 and all_stand(host))
    (prepared,) = slots(host)
    await until(lambda: set(given) == {"bnk_cold1", prepared})  # the template's own is gone
    assert (given[prepared].owner, given[prepared].in_force) == (None, None)
    assert len(templates(tmp_path)) == 1
    first = given[prepared]

    # What passes through the device is the bunker's own: another profile has the same one.
    second = await created(ear, host, "bnk_warm1", network=order("allowlisted"))
    assert second.start == "template"
    assert given[prepared] is first
    assert first.owner == Owner("bnk_warm1", "ten_a")
    assert first.in_force == order("allowlisted")
    told = ear.reports[-1].templates
    assert [t.name for t in told] == [template_of(IMAGE, 500, 256, "registry")]

    async with ear.ask(host, "DELETE", "/machines/bnk_warm1") as response:
        assert response.status == 204
    assert prepared not in given


async def test_one_without_a_device_is_of_no_use_for_one_with(
    ear: Ear, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host(warm_slots=1, network_profiles=PROFILES)
    await host.start()
    assert (await created(ear, host, "bnk_cold1")).start == "boot"
    await until(lambda: len(slots(host)) == 1 and all_stand(host))
    assert (await created(ear, host, "bnk_cold2", network=order("registry"))).start == "boot"
    await until(lambda: len([t for t in templates(tmp_path) if not t.startswith(".")]) == 2)


async def test_a_daemon_that_ends_leaves_no_network_of_a_prepared_machine(
    ear: Ear, make_host: MakeHost
) -> None:
    host = make_host(warm_slots=2, network_profiles=PROFILES)
    await host.start()
    await created(ear, host, "bnk_cold1", network=order("registry"))
    await until(lambda: len(slots(host)) == 2 and all_stand(host))
    await host.stop()
    assert set(host.hardware.networks) <= {"bnk_cold1"}
