"""What a worker says of its network, as an operator sees it."""

from typing import Any

from tests.integration.metrics import scraped
from tests.integration.simulated_worker import TOKEN, SimulatedWorker
from tests.integration.stack import Stack

REGISTRIES = ["*.files.registry.test", "pypi.registry.test"]


async def shown(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = await stack.data_of("GET", "/workers/wrk_sim", "super_admin")
    return found


async def test_its_registries_and_default_bandwidth_are_shown(
    bare: Stack, worker: SimulatedWorker
) -> None:
    worker.registry_hosts = [*reversed(REGISTRIES), REGISTRIES[0]]
    worker.default_bandwidth_mbit = 250
    await worker.beat(bare.client)
    found = await shown(bare)
    assert found["registry_hosts"] == REGISTRIES
    assert found["default_bandwidth_mbit"] == 250
    [listed] = await bare.data_of("GET", "/workers", "super_admin")
    assert listed["registry_hosts"] == REGISTRIES


async def test_what_has_changed_of_them_is_shown_after_the_next_heartbeat(
    bare: Stack, worker: SimulatedWorker
) -> None:
    worker.registry_hosts = REGISTRIES
    await worker.beat(bare.client)
    worker.registry_hosts, worker.default_bandwidth_mbit = REGISTRIES[:1], None
    await worker.beat(bare.client)
    found = await shown(bare)
    assert found["registry_hosts"] == REGISTRIES[:1]
    assert found["default_bandwidth_mbit"] is None


async def test_addresses_of_its_host_are_shown_to_nobody(
    bare: Stack, worker: SimulatedWorker
) -> None:
    worker.addresses = ["203.0.113.77", "2001:db8::77"]
    await worker.beat(bare.client)
    response = await bare.call("GET", "/workers/wrk_sim", "super_admin")
    assert response.status_code == 200
    for address in worker.addresses:
        assert address not in response.text


async def test_a_worker_of_an_older_release_says_nothing_of_it(
    bare: Stack, worker: SimulatedWorker
) -> None:
    beat = worker.heartbeat().model_dump(
        mode="json", exclude={"registry_hosts", "default_bandwidth_mbit", "addresses"}
    )
    headers = {"Authorization": f"Bearer {TOKEN}"}
    response = await bare.call("POST", "/heartbeat", None, json=beat, headers=headers)
    assert response.status_code == 200
    found = await shown(bare)
    assert (found["registry_hosts"], found["default_bandwidth_mbit"]) == ([], None)


async def test_metrics_tell_bunkers_and_bandwidth_by_network_profile(
    bare: Stack, worker: SimulatedWorker
) -> None:
    worker.network_profiles = ["isolated", "registry", "unrestricted"]
    await worker.beat(bare.client)
    await bare.create(wait=False, bandwidth_mbit=9)
    for mbit in (30, 12):
        await bare.create(
            "super_admin", wait=False, network_profile="registry", bandwidth_mbit=mbit
        )
    ended = await bare.create(
        "super_admin", wait=False, network_profile="unrestricted", bandwidth_mbit=500
    )
    await bare.data_of("DELETE", f"/bunkers/{ended['id']}", "super_admin")

    def of(name: str, profile: str) -> str:
        return f'scaibunker_{name}{{network_profile="{profile}"}}'

    # What a busy host cannot read in time is left out of one answer, and is in the next.
    wanted = {of("bunkers_on_workers", "registry"): 2, of("bandwidth_mbit", "registry"): 42}
    found = await scraped(bare, lambda m: wanted.items() <= m.items())
    assert found[of("bunkers_on_workers", "isolated")] == 1
    assert found[of("bandwidth_mbit", "isolated")] == 0
    for profile in ("unrestricted", "allowlisted", "transit"):
        assert found[of("bunkers_on_workers", profile)] == 0
        assert found[of("bandwidth_mbit", profile)] == 0
