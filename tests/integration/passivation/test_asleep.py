"""While it sleeps: what leaves it asleep, what ends it, and its commands."""

import pytest

from tests.integration.commands import hanging
from tests.integration.passivation.sleepers import Sleepers
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.snapshots import objects_of
from tests.integration.stack import error_of


async def test_what_asks_nothing_of_it_lets_it_sleep(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    stack = sleepers.stack
    bunker = await sleepers.one()
    await sleepers.says_hello(bunker)
    await sleepers.put_to_sleep(bunker)
    await sleepers.until_free(worker)
    worker.built.clear()
    path = f"/bunkers/{bunker}"
    [entry] = await stack.data_of("GET", f"{path}/execs")
    assert (await stack.data_of("GET", f"{path}/execs/{entry['exec_id']}"))["exit_code"] == 0
    await stack.data_of("POST", f"{path}/keepalive")
    assert (await stack.data_of("POST", f"{path}/pause"))["passivated"] is True
    refused = await stack.call("POST", f"{path}/snapshot", json={"kind": "disk"})
    assert error_of(refused)[0] == 409
    # What is refused anyway wakes nobody.
    for who, body, status in (
        ("user", {"command": "x", "timeout_s": 0}, 422),
        ("user", {"command": "x", "stdin_base64": "!"}, 422),
        ("viewer", {"command": "x"}, 403),
        ("stranger", {"command": "x"}, 404),
    ):
        answer = await stack.call("POST", f"{path}/exec", who, json=body)
        assert answer.status_code == status, answer.text
    answer = await stack.call("GET", f"{path}/files", params={"path": "relative"})
    assert answer.status_code == 422
    assert (await sleepers.record(bunker))["passivated"] is True
    assert worker.built == []


async def test_the_end_of_one_that_sleeps(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    stack = sleepers.stack
    worker.commands["forever"] = hanging()
    bunker = await sleepers.one()
    started = await sleepers.exec(bunker, command="forever", detach=True)
    await sleepers.put_to_sleep(bunker)
    [snapshot] = await sleepers.alone()
    ended = await stack.data_of("DELETE", f"/bunkers/{bunker}")
    assert (ended["status"], ended["status_reason"]) == ("terminated", "ended by user")
    assert ended["passivated"] is False
    await stack.run_task("scaibunker.sweep_timeouts")
    path = f"/bunkers/{bunker}/execs/{started.json()['data']['exec_id']}"
    assert (await stack.data_of("GET", path))["state"] == "lost"  # time stands still no more
    assert await sleepers.books.counters.counted() == {}
    assert await sleepers.alone() == []
    assert objects_of(stack, snapshot) == set()
    refused = await sleepers.exec(bunker)
    assert error_of(refused) == (409, "BUNKER_NOT_RUNNING")


@pytest.mark.parametrize("kind", ["disk", "full"])
async def test_it_ends_with_the_snapshot_that_it_has(
    sleepers: Sleepers, worker: SimulatedWorker, kind: str
) -> None:
    stack = sleepers.stack
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    worker.built.clear()
    ended = await stack.data_of("DELETE", f"/bunkers/{bunker}?snapshot=true&kind={kind}")
    assert (ended["status"], ended["passivated"]) == ("terminated", False)
    assert worker.built == []
    [kept] = await stack.data_of("GET", "/snapshots")
    assert (kept["bunker_id"], kept["kind"], kept["status"]) == (bunker, kind, "ready")
    assert await sleepers.alone() == [kept["id"]]
    assert "disk.zst" in objects_of(stack, kept["id"])
    await sleepers.agree()
    clone = await stack.create(image=None, snapshot_id=kept["id"])
    source = worker.machines[clone["id"]].spec.snapshot
    assert source is not None
    assert source.kind == kind
    await stack.data_of("DELETE", f"/snapshots/{kept['id']}")
    again = await stack.data_of("DELETE", f"/bunkers/{bunker}?snapshot=true")
    assert again["status"] == "terminated"
