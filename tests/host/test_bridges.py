"""Bridges and their ports: what passes, what does not, and what is left of them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.wire.codes import Code
from scaibunker.wire.worker.bridges import BridgeSpec
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import netns
from scaibunker.worker.network.bridges import rules, trial
from scaibunker.worker.network.bridges.names import namespace_of
from tests.host.bridged.frames import BROADCAST, QTAG, STAG, note, packet4, tagged
from tests.host.bridged.plugs import Plug, passing_on
from tests.host.bridged.yard import LAN, Yard, yard
from tests.host.lab.namespaces import ip

TRIES = 5
"""How often something is done that a busy host may hold up."""
FOREIGN = "02:00:00:00:00:fe"


@pytest.fixture
async def lan(tmp_path: Path) -> AsyncIterator[Yard]:
    async with yard(tmp_path / "bridges") as made:
        yield made


def test_a_trial_finds_that_this_host_can_have_bridges_and_leaves_nothing() -> None:
    before = netns.names()
    assert trial.missing() is None
    assert netns.names() == before


async def test_frames_pass_between_ports_once_they_are_admitted(lan: Yard) -> None:
    one, other = await lan.plug(), await lan.plug("late", admitted=False)
    one.send(note(BROADCAST, one.mac, "nobody is there yet"))
    other.send(note(BROADCAST, other.mac, "may not speak yet"))
    order = lan.order(other.mac)
    await lan.networks.admit("late", lan.owner(), order)
    heard = note(BROADCAST, other.mac, "to all")
    other.send(heard)
    assert one.arrived(other) == [heard]
    assert other.arrived(one) == []


async def test_a_guarded_port_sends_in_its_own_name_alone(lan: Yard) -> None:
    one, other = await lan.plug(), await lan.plug()
    forged = note(other.mac, FOREIGN, "forged")
    good = [note(other.mac, one.mac, "mine"), tagged(note(other.mac, one.mac, "tagged"), QTAG)]
    one.send(forged, tagged(forged, QTAG), tagged(forged, STAG), tagged(forged, QTAG, QTAG), *good)
    assert other.arrived(one) == good


async def test_a_port_without_guard_sends_in_any_name(lan: Yard) -> None:
    appliance, other = await lan.plug(guard=False), await lan.plug()
    sent = [note(other.mac, FOREIGN, "for another"), tagged(note(BROADCAST, FOREIGN, "x"), QTAG)]
    appliance.send(*sent)
    assert other.arrived(appliance) == sent
    # And it receives what is for those behind it, and for nobody that is known.
    other.send(reply := note(FOREIGN, other.mac, "for one behind it"))
    assert appliance.arrived(other) == [reply]


async def test_frames_that_are_for_bridges_are_dropped(lan: Yard) -> None:
    appliance, one, other = await lan.plug(guard=False), await lan.plug(), await lan.plug()
    for to in (*(f"01:80:c2:00:00:{last:02x}" for last in range(16)), "01:00:0c:cc:cc:cd"):
        for sender in (appliance, one):
            sender.send(note(to, sender.mac, "spanning tree, LLDP, pause"))
    assert other.arrived(appliance) == []
    assert other.arrived(one) == []


async def test_what_is_for_a_guarded_port_goes_there_whoever_claims_its_mac(lan: Yard) -> None:
    thief, victim, sender = await lan.plug(guard=False), await lan.plug(), await lan.plug()
    thief.send(*(note(BROADCAST, victim.mac, "I am the victim") for _ in range(3)))
    sender.send(secret := note(victim.mac, sender.mac, "secret"))
    assert victim.arrived(sender)[-1] == secret
    assert secret not in thief.arrived(sender)


async def test_a_guarded_port_hears_nothing_that_is_for_others(lan: Yard) -> None:
    one, other, third = await lan.plug(), await lan.plug(), await lan.plug()
    one.send(note(other.mac, one.mac, "for the other"), note(FOREIGN, one.mac, "for nobody"))
    assert third.arrived(one) == []


async def test_macs_behind_a_port_have_a_bound(lan: Yard) -> None:
    appliance, other = await lan.plug(guard=False, mbit=1000), await lan.plug(mbit=1000)
    sent = [
        note(other.mac, f"06:00:00:00:{number >> 8:02x}:{number & 255:02x}", f"{number}")
        for number in range(rules.MAX_MACS + 200)
    ]
    appliance.mac = "06:00:00:00:00:00"
    arrived: list[bytes] = []
    for start in range(0, len(sent), 50):  # what waits in between has a bound of its own
        appliance.send(*sent[start : start + 50])
        arrived += other.arrived(appliance)
    assert arrived == sent[: rules.MAX_MACS]


async def test_broadcasts_of_a_port_have_a_bound(lan: Yard) -> None:
    one, other = await lan.plug(mbit=1000, guard=False), await lan.plug(mbit=1000)
    storm = [note(BROADCAST, one.mac, "storm")] * 100
    began, sent, count = time.monotonic(), 0, 0
    while sent - count < 8000:  # it ends only if there is a bound
        one.send(*storm)
        sent += len(storm)
        count += len(other.arrived(one))
    seconds = time.monotonic() - began
    assert count <= rules._AT_ONCE + rules.GROUP_FRAMES_S * seconds * 1.1 + len(storm)


async def test_a_loop_of_two_appliances_leaves_room_for_others(lan: Yard) -> None:
    """Side by side between two bridges they pass each other's broadcasts on, for ever."""
    await lan.bridge("brg_0dmz")
    client, server = await lan.plug(), await lan.plug(bridge_id="brg_0dmz")
    with contextlib.ExitStack() as appliances:
        for name in ("bnk_left", "bnk_right"):
            left, right = await lan.appliance(name, LAN, "brg_0dmz")
            appliances.enter_context(passing_on(left, right))
        began = time.monotonic()
        client.send(storm := note(BROADCAST, client.mac, "and so it begins"))
        seen = 0
        for frame in server.take():
            seen += frame == storm
            if seen == 5000:  # it goes round
                break
        assert seen == 5000
        for attempt in range(10):
            wanted = note(server.mac, client.mac, f"still {attempt}")
            passed = False
            for _ in range(TRIES):  # a server that has no time to read loses some
                client.send(wanted)
                for frame in server.take(2):
                    seen += frame == storm
                    passed = frame == wanted
                    if passed:
                        break
                if passed:
                    break
            assert passed
        seconds = time.monotonic() - began
    assert seen <= 2 * (rules._AT_ONCE + rules.GROUP_FRAMES_S * seconds * 1.1)


@pytest.mark.parametrize("direction", ["sends", "receives"])
async def test_bandwidth_is_bounded_both_ways(lan: Yard, direction: str) -> None:
    limit, found = 10, list[float]()
    for _ in range(TRIES):
        one = await lan.plug(mbit=limit if direction == "sends" else 1000)
        other = await lan.plug(mbit=limit if direction == "receives" else 1000)
        found.append(measured_mbit(one, other))
        assert found[-1] < 1.1 * limit, found
        if found[-1] > 0.85 * limit:
            return
    raise AssertionError(f"not as much as the limit: {found}")


def measured_mbit(one: Plug, other: Plug) -> float:
    """What passes, from the very beginning: what waits for a reader that has no time does not count as faster."""
    frame = note(other.mac, one.mac, "x" * 1400)
    began = last = time.monotonic()
    total = 0
    while last - began < 3:
        one.send(*[frame] * 20)
        total += sum(len(each) for each in other.take(0.005))
        last = time.monotonic()
    return total * 8 / (last - began) / 1_000_000


async def test_what_a_machine_sends_is_counted(lan: Yard) -> None:
    order = lan.order("02:00:00:00:01:01", "02:00:00:00:01:02")
    network = await lan.networks.take("bnk_counted", lan.owner(), order)
    await lan.networks.admit("bnk_counted", lan.owner(), order)
    assert network.egress_bytes() == 0
    one, other = await lan.plug("bnk_counted", mac="02:00:00:00:01:01"), await lan.plug()
    one.send(*(packet4(other.mac, one.mac, "10.0.0.1", "x" * 900) for _ in range(10)))
    assert len(other.arrived(one)) == 10
    assert 9340 <= network.egress_bytes() < 9600


async def test_another_tenants_bridge_is_refused_whoever_orders_it(lan: Yard) -> None:
    await lan.bridge("brg_0theirs", "ten_2")
    order = lan.order("02:00:00:00:00:01", "02:00:00:00:00:02")
    stolen = order.interfaces[1].model_copy(update={"bridge_id": "brg_0theirs"})
    order = order.model_copy(update={"interfaces": [order.interfaces[0], stolen]})
    for call in (lan.networks.take, lan.networks.admit):
        with pytest.raises(WorkerFault, match="of the machine's tenant") as refused:
            await call("bnk_thief", lan.owner(), order)
        assert refused.value.code == Code.BRIDGE_NOT_FOUND
    assert [bridge.ports for bridge in lan.bridges.all()] == [0, 0]
    with pytest.raises(WorkerFault, match="something else"):
        await lan.bridges.make(BridgeSpec(bridge_id=LAN, tenant_id="ten_2", name="lan"))


async def test_a_bridge_is_not_taken_down_while_a_machine_is_plugged_in(lan: Yard) -> None:
    one, other = await lan.plug("bnk_one"), await lan.plug("bnk_other")
    with pytest.raises(WorkerFault, match="plugged in") as refused:
        await lan.bridges.remove(LAN)
    assert refused.value.code == Code.BRIDGE_IN_USE
    assert other.arrived(one) == []
    for name in ("bnk_one", "bnk_other"):
        for _ in range(2):
            await lan.networks.give_back(name)
    for _ in range(2):
        await lan.bridges.remove(LAN)
    assert lan.namespaces() == []
    with pytest.raises(WorkerFault):
        lan.bridges.get(LAN)
    await lan.restart()
    assert lan.bridges.all() == []


async def test_a_daemon_finds_what_another_has_left_and_nothing_stands_still(lan: Yard) -> None:
    one, other = await lan.plug("bnk_one"), await lan.plug("bnk_other")
    await lan.restart()
    assert lan.bridges.get(LAN).ports == 2
    assert other.arrived(one) == []  # frames pass, before anybody admits them again
    await lan.networks.admit("bnk_one", lan.owner(), lan.order(one.mac))
    one.send(note(other.mac, FOREIGN, "forged"))
    assert other.arrived(one) == []
    await lan.networks.reclaim(["bnk_one"])
    assert lan.bridges.get(LAN).ports == 1
    await lan.networks.reclaim([])
    assert lan.bridges.get(LAN).ports == 0


async def test_a_bridge_without_a_record_goes_and_one_without_a_namespace_comes_back(
    lan: Yard,
) -> None:
    netns.create(namespace_of(lan.names, "brg_0stray"))
    netns.remove(namespace_of(lan.names, LAN))
    await lan.restart()
    assert lan.namespaces() == [namespace_of(lan.names, LAN)]
    one, other = await lan.plug(), await lan.plug()
    assert other.arrived(one) == []


async def test_the_name_of_a_namespace_that_is_no_more_is_made_good(lan: Yard) -> None:
    name = namespace_of(lan.names, LAN)
    netns.remove(name)
    netns.path_of(name).touch()  # as after a reboot, with a /run that was kept
    await lan.restart()
    one, other = await lan.plug(), await lan.plug()
    assert other.arrived(one) == []


async def test_a_machine_that_half_has_a_network_has_none(lan: Yard) -> None:
    await lan.bridge("brg_0wan")
    order = lan.order("02:00:00:00:00:01", "02:00:00:00:00:02")
    wan = order.interfaces[1].model_copy(update={"bridge_id": "brg_0wan"})
    order = order.model_copy(update={"interfaces": [order.interfaces[0], wan]})
    netns.remove(namespace_of(lan.names, "brg_0wan"))  # behind the daemon's back
    with pytest.raises(WorkerFault):
        await lan.networks.take("bnk_half", lan.owner(), order)
    assert [bridge.ports for bridge in lan.bridges.all()] == [0, 0]
    await lan.bridges.remove("brg_0wan")
    await lan.bridges.remove(LAN)


async def test_a_bridge_that_cannot_be_made_leaves_nothing(
    lan: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> str:
        raise WorkerFault("the kernel has no bridges today")

    with monkeypatch.context() as patched:
        patched.setattr(rules, "of_bridge", fails)
        with pytest.raises(WorkerFault, match="today"):
            await lan.bridge("brg_0wan")
    assert lan.namespaces() == [namespace_of(lan.names, LAN)]
    await lan.restart()
    assert [bridge.bridge_id for bridge in lan.bridges.all()] == [LAN]
    await lan.bridge("brg_0wan")
    assert len(lan.namespaces()) == 2


async def test_many_machines_come_and_go_at_once_and_leave_nothing(lan: Yard) -> None:
    async def comes_and_goes(number: int) -> None:
        order = lan.order(f"02:00:00:00:02:{number:02x}")
        name = f"bnk_many{number}"
        await lan.networks.take(name, lan.owner(), order)
        await lan.networks.admit(name, lan.owner(), order)
        await lan.networks.give_back(name)

    stays, other = await lan.plug(), await lan.plug()
    for _ in range(2):
        await asyncio.gather(*(comes_and_goes(number) for number in range(20)))
    assert lan.bridges.get(LAN).ports == 2
    left = ip("netns", "exec", namespace_of(lan.names, LAN), "nft", "list", "sets")
    assert left.count("set ") == 2 + 2 * 3  # what all have claimed, and what each port has
    assert other.arrived(stays) == []


async def test_the_hosts_stack_has_no_address_on_a_bridge(lan: Yard) -> None:
    one = await lan.plug()
    found = await netns.inside(
        namespace_of(lan.names, LAN), lambda: Path("/proc/thread-self/net/if_inet6").read_text()
    )
    assert found == ""
    one.send(note("02:5c:a1:00:00:03", one.mac, "for the bridge itself"))
