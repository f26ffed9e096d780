"""Batches of flow records, as their bunker's owner reads them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.integration.simulated_worker import TOKEN, SimulatedWorker
from tests.integration.stack import Stack, error_of, fields_of

WORKER = {"Authorization": f"Bearer {TOKEN}"}
FIRST_US = 1_700_000_000_000_000


def name(number: int, pid: int = 7) -> str:
    return f"{FIRST_US + number:016d}-{pid}.ndjson"


async def store(stack: Stack, bunker_id: str, batch: str, content: bytes = b"{}\n") -> None:
    path = f"/storage/scaibunker/audit/{bunker_id}/{batch}"
    await stack.data_of("PUT", path, None, content=content, headers=WORKER)


async def listing(stack: Stack, bunker_id: str, who: str = "user", **query: Any) -> dict[str, Any]:
    path = f"/bunkers/{bunker_id}/audit-batches"
    response = await stack.call("GET", path, who, params=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def all_names(stack: Stack, bunker_id: str, **query: Any) -> tuple[list[str], Sequence[int]]:
    """Of all answers, and how many were in each."""
    names: list[str] = []
    sizes = []
    while True:
        answer = await listing(stack, bunker_id, **query)
        names += [each["name"] for each in answer["data"]]
        sizes.append(len(answer["data"]))
        token = answer["next_continuation_token"]
        assert answer["has_more"] is (token is not None)
        if token is None:
            return names, sizes
        query["continuation_token"] = token


async def test_batches_are_listed_and_read(stack: Stack, bunker: str) -> None:
    lines = b"".join(json.dumps({"n": n}).encode() + b"\n" for n in range(1000))
    await store(stack, bunker, name(5), lines)
    [batch] = (await listing(stack, bunker))["data"]
    assert batch["name"] == name(5)
    assert batch["key"] == f"scaibunker/audit/{bunker}/{name(5)}"
    assert (batch["ts_us"], batch["size"]) == (FIRST_US + 5, len(lines))
    assert batch["stored_at"].endswith("Z")
    response = await stack.call("GET", f"/bunkers/{bunker}/audit-batches/{name(5)}")
    assert (response.status_code, response.content) == (200, lines)
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["content-length"] == str(len(lines))


async def test_pages_are_in_order_and_whole(stack: Stack, bunker: str) -> None:
    wanted = [name(n) for n in range(13)]
    for each in reversed(wanted):
        await store(stack, bunker, each)
    await store(stack, bunker, "notes.txt")
    await store(stack, bunker + "x", name(3))
    assert await all_names(stack, bunker, limit=5) == (wanted, [5, 5, 3])
    assert await all_names(stack, bunker) == (wanted, [13])
    since = FIRST_US + 9
    assert await all_names(stack, bunker, limit=2, since_us=since) == (wanted[9:], [2, 2, 0])
    assert await all_names(stack, bunker, since_us=FIRST_US + 13) == ([], [0])


async def test_a_token_stays_good_while_batches_come(stack: Stack, bunker: str) -> None:
    for n in (0, 1, 3):
        await store(stack, bunker, name(n))
    answer = await listing(stack, bunker, limit=2)
    for n in (2, 4):
        await store(stack, bunker, name(n))
    token = answer["next_continuation_token"]
    rest = await listing(stack, bunker, continuation_token=token)
    assert [each["name"] for each in rest["data"]] == [name(2), name(3), name(4)]


async def test_they_outlive_their_bunker(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    await store(stack, bunker, name(1))
    await stack.data_of("DELETE", f"/bunkers/{bunker}")
    await stack.until_status(bunker, "terminated")
    await store(stack, bunker, name(2))
    assert await all_names(stack, bunker) == ([name(1), name(2)], [2])
    response = await stack.call("GET", f"/bunkers/{bunker}/audit-batches/{name(2)}")
    assert response.content == b"{}\n"


async def test_they_are_for_the_owner_and_the_admins(stack: Stack, worker: SimulatedWorker) -> None:
    bunker = str((await stack.create("tenant_admin"))["id"])
    await store(stack, bunker, name(1))
    for path in (f"/bunkers/{bunker}/audit-batches", f"/bunkers/{bunker}/audit-batches/{name(1)}"):
        assert (await stack.call("GET", path, "tenant_admin")).status_code == 200
        assert (await stack.call("GET", path, "super_admin")).status_code == 200
        for who in ("user", "stranger"):
            assert error_of(await stack.call("GET", path, who)) == (404, "BUNKER_NOT_FOUND")
        assert (await stack.call("GET", path, "viewer")).status_code == 403


@pytest.mark.parametrize(
    "batch",
    [
        name(2),
        "notes.txt",
        f"..%2F{name(1)}",
        f"x%2F{name(1)}",
        f"{name(1)}%0A",
        f"{name(1)}.part",
        "1-1.ndjson",
    ],
)
async def test_other_names_are_not_there(stack: Stack, bunker: str, batch: str) -> None:
    await store(stack, bunker, name(1))
    await store(stack, bunker, "notes.txt")
    response = await stack.call("GET", f"/bunkers/{bunker}/audit-batches/{batch}")
    assert response.status_code == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"since_us": -1}, "since_us"),
        ({"since_us": 10**16}, "since_us"),
        ({"since_us": "yesterday"}, "since_us"),
        ({"continuation_token": "%%%"}, "continuation_token"),
        ({"continuation_token": "Li4vLi4vc25hcHNob3Rz"}, "continuation_token"),
        ({"continuation_token": "x" * 513}, "continuation_token"),
    ],
)
async def test_queries_are_checked(
    stack: Stack, bunker: str, query: dict[str, Any], field: str
) -> None:
    response = await stack.call("GET", f"/bunkers/{bunker}/audit-batches", params=query)
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert fields_of(response) == [field]


async def test_nobody_deletes_them_here(stack: Stack, bunker: str) -> None:
    await store(stack, bunker, name(1))
    path = f"/bunkers/{bunker}/audit-batches/{name(1)}"
    assert (await stack.call("DELETE", path, "super_admin")).status_code == 405
    assert await all_names(stack, bunker) == ([name(1)], [1])
