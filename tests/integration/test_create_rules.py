"""What may be asked for at create: permissions first, then sense, then existence, then room."""

import asyncio
from typing import Any

import pytest

from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs, Stack, error_of, fields_of
from tests.integration.stores import ONE_DATABASE
from tests.waiting import until

TRANSIT = {"network_profile": "transit"}
INTERFACE = {"if_name": "eth0", "bridge_name": "lan"}


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(
        limits={
            "platform_max_cpu_millicores": 8000,
            "platform_max_memory_mb": 2048,
            "platform_max_disk_mb": 4096,
        }
    )


async def attempt(stack: Stack, who: str = "super_admin", **body: Any) -> Any:
    fields = {"image": "debian-12", **body}
    return await stack.call(
        "POST", "/bunkers", who, json={k: v for k, v in fields.items() if v != "omit"}
    )


@ONE_DATABASE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"image": "omit"}, "image"),
        ({"snapshot_id": "snp_1"}, "image"),
        ({"image": ""}, "image"),
        ({"lifecycle_mode": "forever"}, "lifecycle_mode"),
        ({"name": "-bad"}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "a\ud800b"}, "body"),
        ({"label_set": {f"k{n}": "v" for n in range(65)}}, "label_set"),
        ({"label_set": {"bad key": "v"}}, "label_set"),
        ({"label_set": {"k": "v" * 256}}, "label_set"),
        ({"env_vars": {f"K{n}": "v" for n in range(65)}}, "env_vars"),
        ({"env_vars": {"1A": "v"}}, "env_vars"),
        ({"env_vars": {"A": "v" * 8193}}, "env_vars"),
        ({"env_vars": {"A": "v\0"}}, "env_vars"),
        ({"cpu_millicores": 99}, "cpu_millicores"),
        ({"memory_mb": 63}, "memory_mb"),
        ({"disk_mb": 63}, "disk_mb"),
        ({"cpu_millicores": 8001}, "cpu_millicores"),
        ({"memory_mb": 2049}, "memory_mb"),
        ({"disk_mb": 4097}, "disk_mb"),
        ({"gpu_count": 17}, "gpu_count"),
        ({"gpu_count": -1}, "gpu_count"),
        ({"gpu_type": "h100"}, "gpu_type"),
        ({"bandwidth_mbit": 0}, "bandwidth_mbit"),
        ({"bandwidth_mbit": 10_001}, "bandwidth_mbit"),
        ({"max_lifetime_s": 0}, "max_lifetime_s"),
        ({"idle_timeout_s": -5}, "idle_timeout_s"),
        ({"session_type": "other"}, "session_type"),
        ({"bogus": 1}, "bogus"),
        ({**TRANSIT, "interfaces": [{**INTERFACE, "if_name": "Eth 0"}]}, "interfaces"),
        ({**TRANSIT, "interfaces": [{**INTERFACE, "mac": "xx"}]}, "interfaces"),
        ({**TRANSIT, "interfaces": [INTERFACE, INTERFACE]}, "interfaces"),
    ],
)
async def test_a_bad_field_is_named(stack: Stack, body: dict[str, Any], field: str) -> None:
    if body.get("name") == "a\ud800b":
        response = await stack.call(
            "POST", "/bunkers", content=b'{"image": "debian-12", "name": "a\\ud800b"}'
        )
    else:
        response = await attempt(stack, **body)
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert any(named.split(".")[0] == field for named in fields_of(response))


async def test_a_size_above_the_maximum_says_which_is(stack: Stack) -> None:
    response = await attempt(stack, memory_mb=999_999, disk_mb=999_999)
    assert error_of(response) == (422, "VALIDATION_ERROR")
    details = {d["field"]: d["limit"] for d in response.json()["error"]["details"]}
    assert details == {"memory_mb": 2048, "disk_mb": 4096}


@ONE_DATABASE
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b"null"],
)
async def test_a_body_that_is_no_object_is_refused(stack: Stack, content: bytes) -> None:
    response = await stack.call("POST", "/bunkers", content=content)
    assert error_of(response) == (422, "VALIDATION_ERROR")


async def test_a_body_needs_no_content_type(stack: Stack) -> None:
    response = await stack.call(
        "POST",
        "/bunkers",
        content=b'{"image": "debian-12"}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert response.status_code == 201


async def test_a_body_beyond_the_limit_is_too_large(stack: Stack) -> None:
    response = await stack.call("POST", "/bunkers", content=b" " * (3 * 2**20))
    assert error_of(response) == (413, "PAYLOAD_TOO_LARGE")


@ONE_DATABASE
@pytest.mark.parametrize(
    ("entries", "shown"),
    [
        (["https://example.com"], "scheme"),
        (["example.com/path"], "path"),
        (["example.com:443"], "port"),
        (["10.0.0.1"], "address"),
        (["0x7f.1"], "address"),
        (["[::1]"], "address"),
        (["::1"], "port"),
        (["**.example.com"], "wildcard"),
        (["a.*.example.com"], "wildcard"),
        (["*"], "wildcard"),
        (["foo*.example.com"], "wildcard"),
        (["-bad.example.com"], "labels"),
        (["under_score.example.com"], "labels"),
        (["a" * 64 + ".com"], "labels"),
        (["a..b"], "labels"),
        ([""], "empty"),
        ([".".join(["a" * 60] * 5)], "253"),
        (["good.example.com"] * 257, "256"),
        ([], "at least one"),
        (None, "at least one"),
    ],
)
async def test_a_bad_allowlist_is_refused_with_the_entry(
    stack: Stack, entries: list[str] | None, shown: str
) -> None:
    response = await attempt(
        stack, "user", network_profile="allowlisted", network_allowlist=entries
    )
    assert error_of(response) == (422, "NETWORK_ALLOWLIST_INVALID")
    [entry] = response.json()["error"]["details"]
    assert shown in entry["message"]
    if entries and len(entries) == 1:
        assert entry["field"] == "network_allowlist.0"
        assert entry["entry"] == entries[0][:300]


@pytest.mark.parametrize("profile", ["isolated", "registry"])
async def test_an_allowlist_without_its_profile_is_refused(stack: Stack, profile: str) -> None:
    response = await attempt(stack, network_profile=profile, network_allowlist=["example.com"])
    assert error_of(response) == (422, "NETWORK_ALLOWLIST_INVALID")


async def test_a_good_allowlist_is_brought_into_one_form(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.network_profiles.append("allowlisted")
    await worker.beat(stack.client)
    record = await stack.create(
        wait=False,
        network_profile="allowlisted",
        network_allowlist=["Example.COM.", "*.Example.com", "bücher.example", "example.com"],
    )
    assert record["network_allowlist"] == [
        "example.com",
        "*.example.com",
        "xn--bcher-kva.example",
    ]
    await until(lambda: record["id"] in worker.machines)
    ordered = worker.machines[record["id"]].spec.network
    assert ordered is not None
    assert (ordered.profile, ordered.allowlist) == ("allowlisted", record["network_allowlist"])


async def test_interfaces_go_with_transit_and_transit_with_interfaces(stack: Stack) -> None:
    response = await attempt(stack, interfaces=[INTERFACE])
    assert error_of(response) == (422, "INTERFACES_NOT_ALLOWED")
    for interfaces in (None, []):
        response = await attempt(stack, **TRANSIT, interfaces=interfaces)
        assert error_of(response) == (422, "TRANSIT_MISSING_INTERFACES")


@pytest.mark.parametrize("profile", ["unrestricted", "transit"])
async def test_a_network_profile_needs_its_permission(stack: Stack, profile: str) -> None:
    # Before anything else is judged: the image is unknown and a size is wrong.
    response = await attempt(stack, "user", network_profile=profile, image="nope", cpu_millicores=1)
    assert error_of(response) == (403, "NETWORK_PROFILE_DENIED")
    [entry] = response.json()["error"]["details"]
    assert entry["permission"] == f"scaibunker:network:{profile}"


async def test_a_spoof_guard_is_switched_off_with_its_permission_only(stack: Stack) -> None:
    off = [{**INTERFACE, "spoof_guard": False}]
    response = await attempt(stack, "super_admin", **TRANSIT, interfaces=off)
    assert error_of(response) == (404, "BRIDGE_NOT_FOUND")


@ONE_DATABASE
@pytest.mark.parametrize("value", ["false", 0, "no", "off", 1, "true"])
async def test_a_flag_is_a_flag(stack: Stack, value: object) -> None:
    guard = [{**INTERFACE, "spoof_guard": value}]
    response = await attempt(stack, "super_admin", **TRANSIT, interfaces=guard)
    assert error_of(response) == (422, "VALIDATION_ERROR")


@ONE_DATABASE
@pytest.mark.parametrize("field", ["cpu_millicores", "memory_mb", "disk_mb", "max_lifetime_s"])
@pytest.mark.parametrize("value", ["512", True, 512.5])
async def test_a_number_is_a_number(stack: Stack, field: str, value: object) -> None:
    response = await attempt(stack, "user", **{field: value})
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert [d["field"] for d in response.json()["error"]["details"]] == [field]


async def test_a_profile_that_no_worker_offers_says_so(stack: Stack) -> None:
    response = await attempt(stack, "user", network_profile="registry")
    assert error_of(response) == (503, "NO_SUITABLE_WORKER")
    [entry] = response.json()["error"]["details"]
    assert entry["field"] == "network_profile"
    assert "registry" in entry["message"]


@pytest.mark.parametrize("mode", ["session", "persistent"])
async def test_lifecycle_modes_and_their_defaults(stack: Stack, mode: str) -> None:
    record = await stack.create(lifecycle_mode=mode)
    expected = {"session": (28_800, 900), "persistent": (None, 900)}[mode]
    assert (record["max_lifetime_s"], record["idle_timeout_s"]) == expected
    assert (record["expires_at"] is None) is (mode == "persistent")


async def test_what_does_not_exist_is_not_found(stack: Stack) -> None:
    assert error_of(await attempt(stack, image="nope")) == (404, "IMAGE_NOT_FOUND")
    response = await attempt(stack, image="omit", snapshot_id="snp_nope")
    assert error_of(response) == (404, "SNAPSHOT_NOT_FOUND")


async def test_an_image_is_found_by_id_too(stack: Stack) -> None:
    [image] = await stack.data_of("GET", "/images")
    record = await stack.create(image=image["id"])
    assert (record["image"], record["image_id"]) == ("debian-12", image["id"])


async def test_without_a_worker_there_is_no_room(bare: Stack) -> None:
    assert error_of(await attempt(bare)) == (503, "WORKER_UNAVAILABLE")


async def test_an_image_that_no_worker_has_is_said(bare: Stack, worker: SimulatedWorker) -> None:
    worker.images = []
    await worker.beat(bare.client)
    response = await attempt(bare)
    assert error_of(response) == (503, "NO_SUITABLE_WORKER")
    assert fields_of(response) == ["image"]


async def test_capacity_is_held_and_given_back(stack: Stack, worker: SimulatedWorker) -> None:
    worker.capacity.memory_mb = 1000
    await worker.beat(stack.client)
    made = [(await stack.create(memory_mb=400, wait=False))["id"] for _ in range(2)]
    response = await attempt(stack, memory_mb=400)
    assert error_of(response) == (503, "WORKER_UNAVAILABLE")
    [entry] = response.json()["error"]["details"]
    assert (entry["field"], entry["requested"], entry["free"]) == ("memory_mb", 400, 200)
    [shown] = await stack.data_of("GET", "/workers", "super_admin")
    assert (shown["reserved"]["memory_mb"], shown["bunkers"]) == (800, 2)
    await stack.data_of("DELETE", f"/bunkers/{made[0]}")
    assert (await attempt(stack, memory_mb=400)).status_code == 201


async def test_the_last_place_is_never_taken_twice(stack: Stack, worker: SimulatedWorker) -> None:
    worker.capacity.memory_mb = 1000
    await worker.beat(stack.client)
    answers = await asyncio.gather(*(attempt(stack, memory_mb=300) for _ in range(12)))
    assert sorted(a.status_code for a in answers) == [201] * 3 + [503] * 9


async def test_the_record_says_the_bandwidth_in_force(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.network_profiles.append("registry")
    worker.default_bandwidth_mbit = 80
    await worker.beat(stack.client)
    record = await stack.create(wait=False, network_profile="registry")
    assert record["bandwidth_mbit"] == 80
    await until(lambda: record["id"] in worker.machines)
    ordered = worker.machines[record["id"]].spec.network
    assert ordered is not None
    assert ordered.bandwidth_mbit == 80
    asked = await stack.create(wait=False, network_profile="registry", bandwidth_mbit=7)
    assert asked["bandwidth_mbit"] == 7
    # Without a device there is nothing to limit; the record says what was asked for all the same.
    isolated = await stack.create(wait=False, bandwidth_mbit=7)
    assert isolated["bandwidth_mbit"] == 7
    await until(lambda: isolated["id"] in worker.machines)
    assert worker.machines[isolated["id"]].spec.network is None
    assert (await stack.create(wait=False))["bandwidth_mbit"] is None
