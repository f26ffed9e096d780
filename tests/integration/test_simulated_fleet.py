"""A controller over a fleet of real worker daemons on simulated hosts, some of which misbehave.

Whatever happened: in the end what runs on the hosts is what the rows say, and places and quotas are held
by what there is and nothing else.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from scaibunker.controller.bunkers.lifecycle import FINAL
from scaibunker.testing import lies
from scaibunker.testing.host import CAPACITY, SimulatedHost
from scaibunker.wire.worker.machines import MachineState
from scaibunker.worker.room import Room
from tests.integration.conftest import Template
from tests.integration.fleets import Fleet, look_at_fleet, records, settled
from tests.integration.places import shown
from tests.integration.quotas.books import SMALL
from tests.integration.simulated_worker import IMAGE, TOKEN
from tests.integration.stack import Knobs, Stack, error_of
from tests.waiting import until

HOSTS = 30
INTERVAL_S = 3.0
"""Seconds between heartbeats of a fleet that has much to do; and of one of a few hosts:"""
SHORT_INTERVAL_S = 0.8


@pytest.fixture
def template(mariadb_template: Template) -> Template:
    """What many do at once is a matter of production's database."""
    return mariadb_template


@pytest.fixture
def hosts() -> int:
    return HOSTS


@pytest.fixture
def interval_s(hosts: int) -> float:
    return INTERVAL_S if hosts == HOSTS else SHORT_INTERVAL_S


@pytest.fixture
def knobs(interval_s: float) -> Knobs:
    return Knobs(
        heartbeat_interval_s=interval_s,
        request_timeout_s=1.5,
        order_timeout_s=2.5,
        provision_timeout_s=20,
        terminate_wait_s=5,
    )


@pytest.fixture
async def fleet(bare: Stack, tmp_path: Path, hosts: int, interval_s: float) -> AsyncIterator[Fleet]:
    """Daemons that have reported; in the end nothing is held that is not there."""
    made = [
        SimulatedHost(
            tmp_path / "hosts",
            f"host{number:02}",
            controller_url=str(bare.client.base_url),
            token=TOKEN,
            images={IMAGE: 1 << 30},
            heartbeat_interval_s=interval_s,
            boot_s=0.02,
            boot_timeout_s=1,
        )
        for number in range(hosts)
    ]
    await asyncio.gather(*(host.start() for host in made))

    async def all_online() -> bool:
        return len(await bare.data_of("GET", "/workers", "super_admin")) == hosts

    await until(all_online)
    await look_at_fleet(bare)
    found = {host.id: host for host in made}
    try:
        yield found
        await settled(bare, found)
    finally:
        await asyncio.gather(*(host.close() for host in made))


async def storm(stack: Stack, count: int) -> list[dict[str, Any]]:
    """So many creates at once, each waited for."""
    return await asyncio.gather(*(stack.create(**small()) for _ in range(count)))


def small() -> dict[str, Any]:
    return {key: value for key, value in SMALL.items() if key != "image"}


async def end_all(stack: Stack, made: Sequence[dict[str, Any]]) -> None:
    await asyncio.gather(*(stack.data_of("DELETE", f"/bunkers/{each['id']}") for each in made))


async def one_each(stack: Stack, fleet: Fleet) -> dict[str, str]:
    """One more bunker on every host: the ids, by the host's. Not waited for."""
    found: dict[str, str] = {}
    for _ in fleet:
        await look_at_fleet(stack)
        record = await stack.create(wait=False, **small())
        found[record["worker_id"]] = record["id"]
    assert set(found) == set(fleet)
    return found


async def run(stack: Stack, bunkers: Iterable[str]) -> None:
    """Wait until these run."""
    for each in bunkers:
        await stack.until_status(each, "running")


async def until_shown(stack: Stack, host: SimulatedHost, status: str) -> None:
    async def so() -> bool:
        return bool((await shown(stack, host.id))["status"] == status)

    await until(so)


async def echo(stack: Stack, bunker_id: str) -> str:
    """What a command says there."""
    answer = await stack.data_of(
        "POST", f"/bunkers/{bunker_id}/exec", json={"command": "echo hello"}
    )
    return str(answer["stdout"])


class TestStorms:
    async def test_a_storm_is_spread_over_the_fleet(self, bare: Stack, fleet: Fleet) -> None:
        made = await storm(bare, HOSTS + 10)
        assert {record["status"] for record in made} == {"running"}
        each = Counter(record["worker_id"] for record in made)
        # Not exactly: what the controller knows of its fleet may be a moment old.
        assert len(each) > HOSTS // 2
        assert max(each.values()) <= 4
        said = await asyncio.gather(*(echo(bare, record["id"]) for record in made))
        assert set(said) == {"hello\n"}
        await end_all(bare, made)
        await settled(bare, fleet)
        assert not any(host.machines for host in fleet.values())

    async def test_a_storm_over_a_fleet_of_which_a_third_is_broken(
        self, bare: Stack, fleet: Fleet
    ) -> None:
        hosts = list(fleet.values())
        for host in hosts[0:9:3]:
            host.faults.boot = "panics"
        for host in hosts[1:9:3]:
            host.faults.deaf = True
        for host in hosts[2:9:3]:
            host.faults.dies_after_accepting = True
        made = await asyncio.gather(*(bare.create(wait=False, **small()) for _ in hosts))
        sound = [r["id"] for r in made if not r["worker_id"] or r["worker_id"] > "wrk_host08"]
        assert len(sound) < len(made), "a broken worker was given nothing"
        await run(bare, sound)
        for host in hosts:
            host.faults.clear()
        await asyncio.gather(*(host.start() for host in hosts if not host.alive))
        ended = [await bare.until_status(r["id"], "running", "failed") for r in made]
        # It takes three broken workers, one after the other, to let one fail.
        assert sum(record["status"] == "failed" for record in ended) <= 3, ended
        await settled(bare, fleet)


class TestFaults:
    @pytest.fixture
    def hosts(self) -> int:
        return 5

    async def test_daemons_that_are_killed(self, bare: Stack, fleet: Fleet) -> None:
        bunkers = await one_each(bare, fleet)
        await run(bare, bunkers.values())
        first, second, third, fourth, fifth = fleet.values()
        for host in (first, second, third, fourth):
            await host.kill()
        refused = await bare.call(
            "POST", f"/bunkers/{bunkers[first.id]}/exec", json={"command": "echo"}
        )
        assert error_of(refused) == (502, "WORKER_UNREACHABLE")
        for host in (first, second, third, fourth):
            await until_shown(bare, host, "offline")
            assert await bare.status(bunkers[host.id]) == "running"
        # What nobody can tell that worker now, it hears when it is back.
        gone = await bare.data_of("DELETE", f"/bunkers/{bunkers[fourth.id]}")
        assert (gone["status"], set(fourth.machines)) == ("terminated", {gone["id"]})
        second.lose_machines()
        third.lose_disk()
        for host in (first, second, third, fourth):
            await host.start()
        assert await echo(bare, bunkers[first.id]) == "hello\n"
        lost = await bare.until_status(bunkers[second.id], "failed")
        assert "gone when the worker started again" in lost["status_reason"]
        lost = await bare.until_status(bunkers[third.id], "failed")
        assert lost["status_reason"] == "lost by its worker"
        await until(lambda: not fourth.machines)
        assert await bare.status(bunkers[fourth.id]) == "terminated"
        assert await bare.status(bunkers[fifth.id]) == "running"
        for host in fleet.values():
            await until_shown(bare, host, "online")

    async def test_daemons_that_die_when_they_have_accepted(
        self, bare: Stack, fleet: Fleet
    ) -> None:
        stays_dead, comes_back, *_ = fleet.values()
        for host in (stays_dead, comes_back):
            host.faults.dies_after_accepting = True
        bunkers = await one_each(bare, fleet)
        await stays_dead.died()
        await comes_back.died()
        comes_back.faults.clear()
        await comes_back.start()
        record = await bare.until_status(bunkers[comes_back.id], "running")
        assert record["worker_id"] == comes_back.id
        record = await bare.until_status(bunkers[stays_dead.id], "running")
        assert record["worker_id"] != stays_dead.id
        # When it is back at last it builds what it had promised, which is another's by now.
        stays_dead.faults.clear()
        await stays_dead.start()
        await until_shown(bare, stays_dead, "online")
        await settled(bare, fleet)
        assert not stays_dead.machines

    async def test_a_mute_worker_keeps_what_runs_and_loses_what_is_built(
        self, bare: Stack, fleet: Fleet
    ) -> None:
        victim, *_ = fleet.values()
        kept = (await one_each(bare, fleet))[victim.id]
        await bare.until_status(kept, "running")
        victim.hardware.boot_s = 3600
        built = (await one_each(bare, fleet))[victim.id]
        await until(lambda: built in victim.machines)
        victim.faults.mute = True
        record = await bare.until_status(built, "running")
        assert record["worker_id"] != victim.id
        assert await bare.status(kept) == "running"
        assert await echo(bare, kept) == "hello\n"
        others = await storm(bare, 6)
        assert victim.id not in {r["worker_id"] for r in others}
        victim.faults.clear()
        await until_shown(bare, victim, "online")
        await until(lambda: set(victim.machines) == {kept})

    async def test_a_deaf_worker_loses_what_was_not_ordered_yet(
        self, bare: Stack, fleet: Fleet
    ) -> None:
        victim, *_ = fleet.values()
        kept = (await one_each(bare, fleet))[victim.id]
        await bare.until_status(kept, "running")
        victim.faults.deaf = True
        ordered = (await one_each(bare, fleet))[victim.id]
        record = await bare.until_status(ordered, "running")
        assert record["worker_id"] != victim.id
        assert await bare.status(kept) == "running"
        ending = asyncio.create_task(bare.call("DELETE", f"/bunkers/{kept}"))

        async def noted() -> bool:
            found = await bare.data_of("GET", f"/bunkers/{kept}")
            return "being terminated" in (found["status_reason"] or "")

        await until(noted)
        victim.faults.clear()
        await ending
        await bare.until_status(kept, "terminated")

    async def test_an_order_that_is_answered_too_late_is_one_machine(
        self, bare: Stack, fleet: Fleet
    ) -> None:
        victim, *_ = fleet.values()
        victim.faults.slow_s = 2.0  # more than the controller waits
        ordered = (await one_each(bare, fleet))[victim.id]
        record = await bare.until_status(ordered, "running")
        assert record["worker_id"] == victim.id
        assert sum(ordered in host.machines for host in fleet.values()) == 1
        victim.faults.clear()

    async def test_what_a_worker_with_a_full_disk_refuses_goes_to_others(
        self, bare: Stack, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        victim, *_ = fleet.values()
        kept = (await one_each(bare, fleet))[victim.id]
        await bare.until_status(kept, "running")
        full, free = True, Room.free

        def fills_up(room: Room) -> int:
            return 0 if full and f"/{victim.id[4:]}/" in str(room.path) else free(room)

        monkeypatch.setattr(Room, "free", fills_up)
        # Its report that there is room is from before.
        victim.faults.lie = lambda beat: beat.model_copy(update={"capacity": CAPACITY})
        late = await one_each(bare, fleet)
        record = await bare.until_status(late[victim.id], "running", "failed")
        assert record["status"] == "running", record["status_reason"]
        assert record["worker_id"] != victim.id
        victim.faults.clear()

        async def shows(*, room: bool) -> bool:
            return bool((await shown(bare, victim.id))["total"]["disk_mb"]) is room

        await until(lambda: shows(room=False))
        await look_at_fleet(bare)
        assert victim.id not in {r["worker_id"] for r in await storm(bare, 6)}
        assert await bare.status(kept) == "running"
        assert await echo(bare, kept) == "hello\n"
        full = False
        await until(lambda: shows(room=True))
        await look_at_fleet(bare)
        assert victim.id in {r["worker_id"] for r in await storm(bare, 6)}

    async def test_what_nobody_can_boot_fails(self, bare: Stack, fleet: Fleet) -> None:
        for number, host in enumerate(fleet.values()):
            host.faults.boot = "hangs" if number == 0 else "panics"
        for record in await storm(bare, 3):
            assert record["status"] == "failed"
            assert "guest agent" in record["status_reason"]


class TestLies:
    @pytest.fixture
    def hosts(self) -> int:
        return 3

    async def beats(self, stack: Stack, host: SimulatedHost) -> None:
        """Wait until two more of its reports were taken."""
        for _ in range(2):
            last = (await shown(stack, host.id))["last_heartbeat_at"]

            async def later(last: str = last) -> bool:
                return bool((await shown(stack, host.id))["last_heartbeat_at"] != last)

            await until(later)

    async def test_nobody_moves_the_bunkers_of_others(self, bare: Stack, fleet: Fleet) -> None:
        made = await one_each(bare, fleet)
        await run(bare, made.values())
        (liar_id, gone), *kept = made.items()
        await bare.data_of("DELETE", f"/bunkers/{gone}")
        before = {each: await bare.status(each) for each in made.values()}
        assert sorted(before.values()) == ["running", "running", "terminated"]
        liar = fleet[liar_id]
        for state in (MachineState.RUNNING, MachineState.FAILED, MachineState.PAUSED):
            liar.faults.lie = lies.inventing(list(before), state)
            await self.beats(bare, liar)
            assert {each: await bare.status(each) for each in before} == before, state
        assert {await echo(bare, each) for _, each in kept} == {"hello\n"}

    async def test_nobody_ends_the_commands_of_others(self, bare: Stack, fleet: Fleet) -> None:
        made = await one_each(bare, fleet)
        await run(bare, made.values())
        liar, victim, *_ = fleet
        path = f"/bunkers/{made[victim]}"
        body = {"command": "sleep 60", "detach": True}
        exec_id = (await bare.data_of("POST", f"{path}/exec", json=body))["exec_id"]
        fleet[liar].faults.lie = lies.ending(made[victim], [exec_id])
        await self.beats(bare, fleet[liar])
        [entry] = await bare.data_of("GET", f"{path}/execs")
        assert entry["state"] == "running", entry
        # By the same words of its own worker it has ended.
        fleet[victim].faults.lie = lies.ending(made[victim], [exec_id])
        await self.beats(bare, fleet[victim])
        [entry] = await bare.data_of("GET", f"{path}/execs")
        assert entry["state"] == "exited", entry

    async def test_what_a_worker_says_of_its_own(self, bare: Stack, fleet: Fleet) -> None:
        made = await one_each(bare, fleet)
        await run(bare, made.values())
        forgets, fails, _ = fleet
        fleet[forgets].faults.lie = lies.forgetting
        fleet[fails].faults.lie = lies.calling_all(MachineState.FAILED)
        record = await bare.until_status(made[fails], "failed")
        assert "made up" in record["status_reason"]
        await self.beats(bare, fleet[forgets])
        assert await bare.status(made[forgets]) == "running"  # it was asked
        fleet[forgets].faults.clear()


async def test_a_fleet_in_turmoil_comes_to_rest(bare: Stack, fleet: Fleet) -> None:
    """Daemons die and come back, machines are lost, while bunkers are made, used, frozen and ended."""
    chance = random.Random(7)
    hosts = list(fleet.values())
    made: list[str] = []
    deaths = 0

    async def user() -> None:
        for _ in range(4):
            answer = await bare.call("POST", "/bunkers", json=SMALL)
            if answer.status_code == 503:  # so many are down that none can take it
                assert error_of(answer)[1] in ("WORKER_UNAVAILABLE", "NO_SUITABLE_WORKER")
                continue
            assert answer.status_code == 201, answer.text
            bunker_id = answer.json()["data"]["id"]
            made.append(bunker_id)
            body = {"command": "sleep 0.05", "detach": chance.random() < 0.5}
            await bare.call("POST", f"/bunkers/{bunker_id}/exec", json=body)
            path = f"/bunkers/{chance.choice(made)}"
            match chance.randrange(5):
                case 0 | 1:
                    await bare.call("DELETE", path)
                case 2:
                    await bare.call("POST", f"{path}/pause")
                case 3:
                    await bare.call("POST", f"{path}/resume")

    async def gremlin() -> None:
        nonlocal deaths
        while True:
            host = chance.choice(hosts)
            match chance.randrange(9):
                case 0 | 1:
                    deaths += host.alive
                    await host.kill()
                case 2:
                    host.lose_machines()
                case 3:
                    host.faults.dies_after_accepting = True
                case 4:
                    host.faults.boot = "panics"
                case 5:
                    host.faults.mute = True
                case 6:
                    host.faults.deaf = True
                case 7:
                    host.faults.slow_s = 0.5
                case 8:
                    host.faults.lie = lies.forgetting
            other = chance.choice(hosts)
            other.faults.clear()
            if not other.alive:
                await other.start()
            await asyncio.sleep(0.03)

    trouble = asyncio.create_task(gremlin())
    await asyncio.gather(*(user() for _ in range(8)))
    trouble.cancel()
    await asyncio.gather(trouble, return_exceptions=True)
    assert len(made) > 20
    assert deaths > 5
    for host in hosts:
        host.faults.clear()
        if not host.alive:
            await host.start()
    await settled(bare, fleet)
    await asyncio.gather(*(bare.call("DELETE", f"/bunkers/{each}") for each in made))
    await settled(bare, fleet)
    assert {record["status"] for record in await records(bare)} <= set(FINAL)
    assert not any(host.machines for host in hosts)
