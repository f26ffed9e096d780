"""A machine's network over the machine's life: closed first, open once the guest is the bunker, gone at the end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.testing.networks import ROUTED, SimulatedNetworks
from scaibunker.wire.worker.machines import MachineState
from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.wire.worker.snapshots import SnapshotPhase, SnapshotRequest, SnapshotSource
from scaibunker.worker import recover
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.machine import Machine
from scaibunker.worker.machines.record import StateFolder
from scaibunker.worker.network.port import Owner
from tests.unit.worker.fake_host import FakeDriver, make_snapshots, spec
from tests.waiting import until

REGISTRY = NetworkOrder.model_validate({"profile": "registry", "bandwidth_mbit": 20})
MAC = ROUTED.interfaces[0].mac
ID = "bnk_abcd1234"


@pytest.fixture
def networks(host: Host) -> SimulatedNetworks:
    assert isinstance(host.networks, SimulatedNetworks)
    return host.networks


@pytest.fixture
async def fleet(host: Host) -> AsyncIterator[Fleet]:
    fleet = Fleet(host, 700_000, lambda: None)
    recover.take_over(host, fleet)
    yield fleet
    await fleet.destroy_all()


async def _settled(machine: Machine) -> Machine:
    await until(lambda: machine.state in (MachineState.RUNNING, MachineState.FAILED))
    return machine


async def test_it_is_there_before_the_vmm_and_opens_after_the_identity(
    fleet: Fleet, driver: FakeDriver, networks: SimulatedNetworks
) -> None:
    seen: list[object] = []
    networks._check = lambda: seen.append((len(driver.vmms), len(driver.identities)))
    machine = await _settled(fleet.order(spec(network=REGISTRY)))
    assert machine.state is MachineState.RUNNING, machine.status().reason
    assert seen == [(0, 0), (1, 1)]  # taken, admitted
    given = networks.given[ID]
    assert (given.owner, given.in_force) == (Owner(ID, "ten_a"), REGISTRY)
    assert driver.nics == [[MAC]]
    assert driver.identities[0]["network"] == {
        "interfaces": [
            {
                "name": "eth0",
                "mac": MAC,
                "mtu": 1500,
                "addresses": list(ROUTED.interfaces[0].addresses),
                "gateways": list(ROUTED.interfaces[0].gateways),
            }
        ],
        "resolvers": list(ROUTED.resolvers),
    }
    await fleet.destroy(ID)
    assert networks.given == {}


async def test_an_isolated_machine_has_no_part_in_it(
    fleet: Fleet, driver: FakeDriver, networks: SimulatedNetworks
) -> None:
    machine = await _settled(fleet.order(spec()))
    assert driver.nics == [[]]
    assert "network" not in driver.identities[0]
    assert networks.given == {}
    assert (machine.status().egress_bytes, machine.status().incarnation) == (0, "")


@pytest.mark.parametrize("step", ["take", "admit"])
async def test_a_network_that_cannot_be_had_leaves_nothing(
    fleet: Fleet, driver: FakeDriver, networks: SimulatedNetworks, step: str
) -> None:
    networks.refuses[step] = WorkerFault("no more room for networks")
    machine = await _settled(fleet.order(spec(network=REGISTRY)))
    assert machine.state is MachineState.FAILED
    assert "no more room for networks" in (machine.status().reason or "")
    assert networks.given == {}
    assert not any(vmm.running for vmm in driver.vmms)


async def test_a_guest_that_never_answers_gets_nothing_through(
    fleet: Fleet, driver: FakeDriver, networks: SimulatedNetworks
) -> None:
    driver.deaf = True
    machine = fleet.order(spec(network=REGISTRY))
    await until(lambda: len(driver.vmms) == 1)
    assert networks.given[ID].in_force is None
    driver.vmms[0].die()
    await _settled(machine)
    assert networks.given == {}


async def test_what_it_has_sent_is_told_also_once_it_has_ended(
    fleet: Fleet, driver: FakeDriver, networks: SimulatedNetworks
) -> None:
    machine = await _settled(fleet.order(spec(network=REGISTRY)))
    networks.given[ID].sent_bytes = 1234
    status = machine.status()
    assert (status.egress_bytes, status.incarnation) == (1234, machine.record.generation)
    networks.given[ID].sent_bytes = 5678
    driver.vmms[0].die()
    await until(lambda: machine.state is MachineState.FAILED)
    assert networks.given == {}
    assert machine.status().egress_bytes == 5678


async def test_a_new_daemon_admits_again_what_never_ceased_to_be_in_force(
    fleet: Fleet, host: Host, driver: FakeDriver, networks: SimulatedNetworks
) -> None:
    await _settled(fleet.order(spec(network=REGISTRY)))
    given = networks.given[ID]
    await fleet.let_go()
    assert given.in_force == REGISTRY
    seen: list[object] = []
    networks._check = lambda: seen.append(given.in_force)
    second = Fleet(host, 700_000, lambda: None)
    recover.take_over(host, second)
    machine = await _settled(second.get(ID))
    assert machine.state is MachineState.RUNNING
    assert seen == [REGISTRY, REGISTRY]
    assert networks.given[ID] is given
    assert len(driver.vmms) == 1
    await second.destroy_all()


async def test_a_paused_machine_is_admitted_again_too(
    fleet: Fleet, host: Host, networks: SimulatedNetworks
) -> None:
    machine = await _settled(fleet.order(spec(network=REGISTRY)))
    await machine.pause()
    await fleet.let_go()
    networks.given[ID].in_force = None
    second = Fleet(host, 700_000, lambda: None)
    recover.take_over(host, second)
    await until(lambda: second.get(ID).state is MachineState.PAUSED)
    assert networks.given[ID].in_force == REGISTRY
    await second.destroy_all()


class TestCopies:
    async def _copy(
        self, folder: Path, fleet: Fleet, kind: str = "full", **fields: object
    ) -> Machine:
        machine = await _settled(fleet.order(spec(network=REGISTRY)))
        snapshots = make_snapshots(folder)
        status = snapshots.order(machine, SnapshotRequest(snapshot_id="snp_first", kind="full"))
        await until(lambda: status.phase is SnapshotPhase.STORED)
        source = SnapshotSource.model_validate(
            {
                "snapshot_id": "snp_first",
                "kind": kind,
                "manifest_sha256": status.manifest_sha256,
            }
        )
        values = {"bunker_id": "bnk_copy1234", "snapshot": source, **fields}
        return await _settled(fleet.order(spec(**values)))

    async def test_one_with_memory_has_the_same_device(
        self, tmp_path: Path, fleet: Fleet, driver: FakeDriver, networks: SimulatedNetworks
    ) -> None:
        machine = await self._copy(tmp_path, fleet, network={"profile": "allowlisted"})
        assert machine.state is MachineState.RUNNING, machine.status().reason
        assert driver.nics[1] == [MAC]
        assert networks.given["bnk_copy1234"].in_force == NetworkOrder.model_validate(
            {"profile": "allowlisted"}
        )

    @pytest.mark.parametrize(
        "network",
        [
            None,
            {
                "profile": "transit",
                "interfaces": [
                    {"if_name": "lan0", "bridge_id": "brg_1", "mac": "02:00:00:00:09:09"}
                ],
            },
        ],
    )
    async def test_one_with_memory_and_other_devices_is_refused(
        self, tmp_path: Path, fleet: Fleet, networks: SimulatedNetworks, network: object
    ) -> None:
        machine = await self._copy(tmp_path, fleet, network=network)
        assert machine.state is MachineState.FAILED
        status = machine.status()
        assert f"other network devices: {MAC}" in (status.reason or "")
        assert status.reason_code == "SNAPSHOT_INCOMPATIBLE"
        assert list(networks.given) == [ID]

    async def test_one_that_was_begun_by_an_earlier_daemon_is_closed_again(
        self, tmp_path: Path, fleet: Fleet, host: Host, networks: SimulatedNetworks
    ) -> None:
        machine = await self._copy(tmp_path, fleet, network={"profile": "registry"})
        opened = networks.given[machine.id]
        assert opened.in_force is not None
        await fleet.let_go()
        machine.record.ready = False  # as if it had died before it wrote that down
        StateFolder(host.machines_dir / machine.id).save(machine.record)
        in_force: list[object] = []

        def look() -> None:
            if machine.id in networks.given:
                in_force.append(networks.given[machine.id].in_force)

        networks._check = look
        second = Fleet(host, 700_000, lambda: None)
        recover.take_over(host, second)
        again = await _settled(second.get(machine.id))
        assert again.state is MachineState.RUNNING, again.status().reason
        assert networks.given[machine.id] is not opened
        assert in_force[-1] is None  # until it was admitted
        await second.destroy_all()

    async def test_a_disk_boots_with_any(
        self, tmp_path: Path, fleet: Fleet, driver: FakeDriver
    ) -> None:
        machine = await self._copy(tmp_path, fleet, "disk")
        assert machine.state is MachineState.RUNNING, machine.status().reason
        assert driver.nics[1] == []
