"""MariaDB killed while requests are under way: what was acknowledged is in the audit log, once."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.conftest import Template, prepared
from tests.integration.stack import Stack
from tests.integration.stores import MariaDbStore
from tests.servers import MariaDb, running
from tests.waiting import until

BATCH = 8


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    yield from running(MariaDb(tmp_path_factory.mktemp("own-mariadb")))


@pytest.fixture(scope="module")
def template(own_server: MariaDb) -> Template:
    return prepared(MariaDbStore(own_server))


async def test_what_was_acknowledged_is_in_the_log_once(bare: Stack, own_server: MariaDb) -> None:
    made: list[str] = []
    refused: list[str] = []
    is_over = asyncio.Event()

    async def make() -> None:
        while not is_over.is_set():
            answer: httpx.Response = await bare.call("POST", "/v1/api-keys", json={"name": "n"})
            if answer.status_code == 201:
                made.append(answer.json()["data"]["id"])
            else:
                assert answer.status_code == 503, answer.text
                refused.append(answer.headers["x-request-id"])

    tasks = [asyncio.create_task(make()) for _ in range(BATCH)]
    await until(lambda: len(made) > 3 * BATCH)
    own_server.kill()
    await until(lambda: len(refused) >= BATCH)
    own_server.start()
    before = len(made)
    await until(lambda: len(made) > before + 3 * BATCH)
    is_over.set()
    await asyncio.gather(*tasks)

    logged: list[str] = []
    failed: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        wanted = {"limit": 200, "action": "create_api_key", **cursor}
        page = (await bare.call("GET", "/v1/audit-log", "super_admin", params=wanted)).json()
        logged += [e["resource_id"] for e in page["data"] if e["outcome"] == "success"]
        failed += [e["request_id"] for e in page["data"] if e["outcome"] == "failed"]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(logged) == sorted(made)
    assert sorted(failed) == sorted(refused)
