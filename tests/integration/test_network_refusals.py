"""What is refused of a network that is asked for: before any worker hears of it, and before quota is held."""

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.integration import people
from tests.integration.audit_log import entries, entry_for
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack, error_of

SEED, LISTS, AT_ONCE = 20_260_101, 300, 60
INTERFACE = {"if_name": "eth0", "bridge_name": "lan"}
OPEN_INTERFACE = {**INTERFACE, "spoof_guard": False}
GOOD = ["api.example.test", "*.files.example.test", "bücher.example.test"]

BROKEN: list[Callable[[random.Random], str]] = [
    lambda r: f"{r.choice(['http', 'https', 'ftp', 'ws', 'x'])}://host{r.randrange(99)}.test",
    lambda r: f"host.test/{r.choice(['', 'path', '?q', '#f'])}",
    lambda r: f"user{r.randrange(99)}@host.test",
    lambda r: f"host.test:{r.randrange(65536)}",
    lambda r: ".".join(str(r.randrange(256)) for _ in range(4)),
    lambda r: str(r.randrange(1 << 32)),
    lambda r: hex(r.randrange(1 << 32)),
    lambda r: f"0{r.randrange(1, 256):o}.0.0.{r.randrange(256)}",
    lambda r: f"{r.randrange(1, 256)}.{r.randrange(1 << 16)}",
    lambda r: f"fd00::{r.randrange(1, 1 << 16):x}",
    lambda r: f"[2001:db8::{r.randrange(1 << 16):x}]",
    lambda r: f"10.{r.randrange(256)}.0.0/16",
    lambda r: f"**.host{r.randrange(99)}.test",
    lambda r: f"*.*.host{r.randrange(99)}.test",
    lambda r: f"a.*.host{r.randrange(99)}.test",
    lambda r: f"{r.choice(['a*', '*a', 'a*b'])}.host.test",
    lambda r: r.choice(["*", "*.", "*.."]),
    lambda r: f"-host{r.randrange(99)}.test",
    lambda r: f"host{r.randrange(99)}-.test",
    lambda r: f"ho_st{r.randrange(99)}.test",
    lambda r: f"{'a' * r.randrange(64, 200)}.test",
    lambda r: ".".join(["a" * r.randrange(50, 63)] * 6),
    lambda r: f"host{r.randrange(99)}..test",
    lambda r: f".host{r.randrange(99)}.test",
    lambda r: f"host{r.randrange(99)}.test..",
    lambda r: f"{r.choice([' ', chr(9), chr(10), chr(0), chr(0x200B)])}host.test",
    lambda r: f"ho{r.choice(' !$%&()+,;<=>^`{|}~')}st.test",
    lambda r: r.choice(["", " ", ".", "\t"]),
    lambda r: f"host\u2044{r.randrange(99)}.test",
    lambda r: f"\u2460.\u2460.\u2460.{r.randrange(256)}",
    lambda r: f"h\u20acst{r.randrange(99)}.test",
]


def broken_lists() -> list[tuple[list[str], int]]:
    """Lists with one broken entry among good ones, and its place; each rule is broken often."""
    chance = random.Random(SEED)
    made = []
    for number in range(LISTS):
        entries_ = [f"host{n}.example.test" for n in range(chance.randrange(5))] + GOOD
        place = chance.randrange(len(entries_) + 1)
        entries_.insert(place, BROKEN[number % len(BROKEN)](chance))
        made.append((entries_, place))
    return made


@pytest.fixture
async def asked(bare: Stack, worker: SimulatedWorker) -> AsyncIterator[SimulatedWorker]:
    """A worker with every profile, which must not be asked for anything."""
    worker.network_profiles = ["isolated", "registry", "allowlisted", "unrestricted", "transit"]
    await worker.beat(bare.client)
    yield worker
    assert worker.orders == []
    assert await bare.data_of("GET", "/bunkers", "super_admin") == []
    [shown] = await bare.data_of("GET", "/workers", "super_admin")
    assert (shown["bunkers"], shown["reserved"]["memory_mb"]) == (0, 0)


async def attempt(stack: Stack, who: str, **body: Any) -> Any:
    return await stack.call("POST", "/bunkers", who, json={"image": "debian-12", **body})


async def test_random_broken_allowlists_are_refused_by_the_entry(
    bare: Stack, asked: SimulatedWorker
) -> None:
    for entries_, place in broken_lists():
        response = await attempt(
            bare, "super_admin", network_profile="allowlisted", network_allowlist=entries_
        )
        assert error_of(response) == (422, "NETWORK_ALLOWLIST_INVALID"), entries_[place]
        [entry] = response.json()["error"]["details"]
        assert entry["field"] == f"network_allowlist.{place}"
        assert entry["entry"] == entries_[place][:300]
        assert repr(entry["entry"]) in entry["message"]
    assert asked.orders == []


async def test_every_broken_entry_is_named(bare: Stack, asked: SimulatedWorker) -> None:
    entries_ = ["good.test", "10.0.0.1", "also-good.test", "a_b.test"]
    response = await attempt(
        bare, "user", network_profile="allowlisted", network_allowlist=entries_
    )
    details = response.json()["error"]["details"]
    assert [d["field"] for d in details] == ["network_allowlist.1", "network_allowlist.3"]
    assert asked.orders == []


PROFILE, L2 = "NETWORK_PROFILE_DENIED", "L2_TRANSPARENCY_DENIED"
LIST, MISSING = "NETWORK_ALLOWLIST_INVALID", "TRANSIT_MISSING_INTERFACES"
UNWANTED, FORM = "INTERFACES_NOT_ALLOWED", "VALIDATION_ERROR"


@pytest.mark.parametrize(
    ("who", "body", "status", "code", "field"),
    [
        # Who may not, hears that first, whatever else is wrong.
        ("user", {"network_profile": "transit"}, 403, PROFILE, "network_profile"),
        (
            "user",
            {"network_profile": "unrestricted", "network_allowlist": ["a_b"], "interfaces": []},
            403,
            PROFILE,
            "network_profile",
        ),
        (
            "user",
            {"network_profile": "transit", "interfaces": [OPEN_INTERFACE]},
            403,
            PROFILE,
            "network_profile",
        ),
        ("user", {"interfaces": [OPEN_INTERFACE]}, 403, L2, "interfaces"),
        (
            "wirer",
            {"network_profile": "transit", "interfaces": [INTERFACE, OPEN_INTERFACE]},
            403,
            L2,
            "interfaces",
        ),
        (
            "wirer",
            {"network_profile": "transit", "interfaces": [OPEN_INTERFACE, "x"]},
            403,
            L2,
            "interfaces",
        ),
        ("viewer", {"network_profile": "registry"}, 403, "AUTHZ_PERMISSION_DENIED", None),
        # Then the form, then what does not fit together.
        ("wirer", {"network_profile": "transit"}, 422, MISSING, "interfaces"),
        ("wirer", {"network_profile": "transit", "interfaces": []}, 422, MISSING, "interfaces"),
        (
            "wirer",
            {"network_profile": "transit", "interfaces": [{"if_name": "eth0"}]},
            422,
            FORM,
            "interfaces.0.bridge_name",
        ),
        (
            "wirer",
            {
                "network_profile": "transit",
                "interfaces": [INTERFACE],
                "network_allowlist": ["a.test"],
            },
            422,
            LIST,
            "network_allowlist",
        ),
        ("user", {"interfaces": [INTERFACE]}, 422, UNWANTED, "interfaces"),
        ("user", {"interfaces": []}, 422, UNWANTED, "interfaces"),
        (
            "user",
            {
                "network_profile": "allowlisted",
                "network_allowlist": ["a.test"],
                "interfaces": [INTERFACE],
            },
            422,
            UNWANTED,
            "interfaces",
        ),
        (
            "user",
            {
                "network_profile": "allowlisted",
                "network_allowlist": ["a_b"],
                "interfaces": [INTERFACE],
            },
            422,
            LIST,
            "network_allowlist.0",
        ),
        ("user", {"network_profile": "allowlisted"}, 422, LIST, "network_allowlist"),
        ("user", {"network_allowlist": []}, 422, LIST, "network_allowlist"),
        (
            "user",
            {"network_profile": "registry", "network_allowlist": ["a.test"]},
            422,
            LIST,
            "network_allowlist",
        ),
        (
            "user",
            {"network_profile": "allowlisted", "network_allowlist": [7]},
            422,
            FORM,
            "network_allowlist.0",
        ),
        (
            "user",
            {"network_profile": "allowlisted", "network_allowlist": "a.test"},
            422,
            FORM,
            "network_allowlist",
        ),
        # What is wrong with the network comes before what is not there.
        (
            "user",
            {"network_profile": "allowlisted", "network_allowlist": ["a_b"], "image": "none"},
            422,
            LIST,
            "network_allowlist.0",
        ),
    ],
)
async def test_each_refusal_comes_in_its_turn(
    bare: Stack,
    asked: SimulatedWorker,
    who: str,
    body: dict[str, Any],
    status: int,
    code: str,
    field: str | None,
) -> None:
    if who == "wirer":
        await wirer(bare)
    response = await attempt(bare, who, **body)
    assert error_of(response) == (status, code)
    error = response.json()["error"]
    assert error["message"]
    assert set(error) == {"code", "message", "hint", "details", "retry_after"}
    if field is not None:
        assert error["details"][0]["field"] == field
    if code in (PROFILE, L2):
        profile = body.get("network_profile")
        key = f"scaibunker:network:{profile}" if code == PROFILE else "scaibunker:l2_transparency"
        assert error["details"][0]["permission"] == key
    assert asked.orders == []


async def wirer(stack: Stack) -> None:
    """An identity that may use transit, and may not switch a spoof guard off."""
    keys = ["scaibunker:create", "scaibunker:network:transit"]
    role = await stack.data_of(
        "POST",
        "/v1/iam/custom-roles",
        "tenant_admin",
        json={"name": "wirer", "permissions": keys},
    )
    user_id = await people.user(stack, "wirer", who="tenant_admin")
    await stack.data_of(
        "PUT", f"/v1/iam/custom-roles/{role['id']}/members/{user_id}", "tenant_admin"
    )


async def test_every_use_and_refusal_of_transparency_is_in_the_audit_log(
    bare: Stack, asked: SimulatedWorker
) -> None:
    await wirer(bare)
    unguarded = {"network_profile": "transit", "interfaces": [INTERFACE, OPEN_INTERFACE]}
    refused = await attempt(bare, "wirer", **unguarded)
    assert error_of(refused) == (403, L2)
    for response, allowed in (
        (refused, False),
        (await attempt(bare, "super_admin", **unguarded), True),
        (await attempt(bare, "super_admin", **unguarded, image="none"), True),
        (await attempt(bare, "super_admin", interfaces=[OPEN_INTERFACE]), True),
        (await attempt(bare, "super_admin", **unguarded, memory_mb=1), True),
    ):
        entry = await entry_for(bare, response)
        assert entry["action"] == "create_bunker"
        assert entry["details"]["spoof_guard"] is False
        assert entry["details"]["permission"] == "scaibunker:l2_transparency"
        assert (entry["status"] == 403) is not allowed
    guarded = await attempt(bare, "wirer", network_profile="transit", interfaces=[INTERFACE])
    assert "spoof_guard" not in (await entry_for(bare, guarded))["details"]
    assert len(await entries(bare, action="create_bunker")) == 6
    assert asked.orders == []
