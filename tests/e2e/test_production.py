"""The layout of production: two replicas share the load of real machines, two background workers
the tasks; one of each is killed, and nothing that was acknowledged is lost or counted twice."""

import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.e2e.production import Production, Scaigrid, installed
from tests.e2e.stack import Api, sse
from tests.waiting import wait_until

MINUTE = timedelta(minutes=1)
TASKS = "scaigrid_task_runs_total"
REQUESTS = "scaigrid_http_requests_total"


@pytest.fixture
def production(tmp_path: Path) -> Iterator[Production]:
    with installed(tmp_path) as made:
        yield made


class Client(threading.Thread):
    """Creates, uses and ends bunkers until told to stop; sends again what got no answer."""

    def __init__(self, production: Production) -> None:
        super().__init__(name="client")
        self._http = production.client()
        self._told = threading.Event()
        self.broken: list[str] = []
        self.ended: dict[str, str] = {}
        self.wrong: list[str] = []

    def run(self) -> None:
        with self._http:
            try:
                while not self._told.is_set():
                    self._one(f"load-{uuid.uuid4().hex}")
            except Exception as error:  # for the test to see
                self.wrong.append(repr(error))

    def stop(self) -> None:
        """Let it come to the end of what it is at."""
        self._told.set()
        self.join(150)
        assert not self.is_alive()

    def _one(self, name: str) -> None:
        def create() -> httpx.Response:
            body = {"image": "debian-12", "memory_mb": 256, "disk_mb": 128, "name": name}
            return self._http.post(
                "/bunkers?wait=running&timeout_s=100",
                json=body,
                headers={"Idempotency-Key": name},
            )

        made = self._answered(create, 201)
        again = self._answered(create, 201)
        bunker = made.json()["data"]["id"]
        assert again.json()["data"]["id"] == bunker
        body = {"command": ["echo", name]}
        done = self._answered(lambda: self._http.post(f"/bunkers/{bunker}/exec", json=body), 200)
        assert done.json()["data"]["stdout"] == f"{name}\n"
        self._answered(lambda: self._http.delete(f"/bunkers/{bunker}"), 200)
        self.ended[name] = bunker

    def _answered(self, send: Callable[[], httpx.Response], status: int) -> httpx.Response:
        """The answer, after as many tries as there are broken connections."""
        answers: list[httpx.Response] = []

        def tried() -> bool:
            try:
                answer = send()
            except httpx.TransportError as error:
                self.broken.append(repr(error))
                return False
            if _still_held(answer):
                return False
            answers.append(answer)
            return True

        wait_until(tried, 100, lambda: f"an answer; {self.broken[-1:]}")
        assert answers[0].status_code == status, answers[0].text
        return answers[0]


def _still_held(answer: httpx.Response) -> bool:
    """The key of a request that died with its replica is free again only after a while."""
    if answer.status_code != 409:
        return False
    return "IDEMPOTENCY" in answer.json()["error"]["code"]


def test_two_replicas_and_two_background_workers(production: Production) -> None:
    with production.client() as http:
        api = Api(http)
        bunkers = [api.create(disk_mb=128) for _ in range(2)]
        for bunker in bunkers:
            _use(api, bunker)
        for replica in production.replicas:
            assert replica.count(REQUESTS, 'status="200"', "/exec") > 0
            assert replica.count(REQUESTS, "/files") > 0
        # Which of them is first at a slot is chance, and may be the same one for long.
        wait_until(
            lambda: any(_runs(one) > 0 for one in production.background),
            90,
            lambda: "a background worker to have done a task",
        )

        client = Client(production)
        client.start()
        try:
            wait_until(lambda: bool(client.ended or client.wrong), 60, lambda: "a first round")
            replica = production.replicas[0]
            survivor, background = sorted(production.background, key=_runs)
            had_run = _runs(survivor)
            replica.signal(signal.SIGKILL)
            background.signal(signal.SIGKILL)
            rounds = len(client.ended)
            wait_until(
                lambda: len(client.ended) > rounds or bool(client.wrong), 120, lambda: "a round"
            )
            for bunker in bunkers:
                assert api.exec(bunker, "cat /srv/kept")["stdout"] == bunker
            wait_until(
                lambda: _runs(survivor) > had_run,
                90,
                lambda: "the other background worker to do the tasks",
            )
            for process in (replica, background):
                process.start()
                process.until_ready()
            served = replica.count(REQUESTS, "/bunkers")
            wait_until(
                lambda: replica.count(REQUESTS, "/bunkers") > served,
                60,
                lambda: "the replica to serve again",
            )
        finally:
            client.stop()
        assert client.wrong == []

        for bunker in bunkers:
            api.delete(bunker)
    wait_until(lambda: not production.bunkers(), 30, lambda: "the machines to be gone")
    rows = {
        name: (bunker, status)
        for bunker, name, status in production.rows(
            "SELECT id, name, status FROM scaibunker_bunkers WHERE name IS NOT NULL"
        )
    }
    names = production.rows("SELECT name FROM scaibunker_bunkers WHERE name IS NOT NULL")
    assert len(names) == len(rows), "a key made two bunkers"
    assert rows == {name: (bunker, "terminated") for name, bunker in client.ended.items()}
    left = production.rows("SELECT id, status FROM scaibunker_bunkers WHERE status <> 'terminated'")
    assert left == []
    _usage_is_that_of_the_rows(production)
    for process in (*production.background, *production.replicas, production.worker):
        assert process.signal(signal.SIGTERM) == 0, process.log.name
    assert production.machines() == []


def _runs(background: Scaigrid) -> float:
    return background.count(TASKS, 'outcome="done"')


def _use(api: Api, bunker: str) -> None:
    """Every way to run a command, and files both ways."""
    content = bunker.encode()
    put = api.http.put(f"/bunkers/{bunker}/files?path=/srv/kept&user=root", content=content)
    assert put.status_code in (200, 201), put.text
    for _ in range(2):  # one at each replica
        got = api.http.get(f"/bunkers/{bunker}/files?path=/srv/kept")
        assert got.content == content
        assert api.exec(bunker, "cat /srv/kept")["stdout"] == bunker
    body = {"command": "echo one; echo two", "stream": True}
    with api.http.stream("POST", f"/bunkers/{bunker}/exec", json=body) as answer:
        events = list(sse(answer))
    (exit_event,) = (data for name, data in events if name == "exit")
    assert exit_event["exit_code"] == 0
    body = {"command": "exit 7", "detach": True}
    started = api.http.post(f"/bunkers/{bunker}/exec", json=body).json()["data"]
    path = f"/bunkers/{bunker}/execs/{started['exec_id']}"
    wait_until(
        lambda: bool(api.http.get(path).json()["data"]["exit_code"] == 7),
        30,
        lambda: "the detached command to end",
    )


def _usage_is_that_of_the_rows(production: Production) -> None:
    """Each bunker was charged for the time that it ran, minute by minute, once."""
    last = datetime.now(UTC).replace(second=0, microsecond=0)

    def told_all() -> bool:
        statement = "SELECT done_until FROM task_runs WHERE name = 'scaibunker.usage_ticks'"
        ((until,),) = production.rows(statement)
        return datetime.fromisoformat(until).replace(tzinfo=UTC) > last + MINUTE

    wait_until(told_all, 120, lambda: f"the minute {last} to be told")
    ran = production.rows(
        "SELECT b.id, b.cpu_millicores / 1000 * TIMESTAMPDIFF(MICROSECOND, e.at, f.at) / 1e6 "
        "FROM scaibunker_bunkers b "
        "JOIN scaibunker_bunker_events e ON e.bunker_id = b.id AND e.status = 'running' "
        "JOIN scaibunker_bunker_events f ON f.bunker_id = b.id AND f.status = 'terminated'"
    )
    told = production.rows("SELECT resource_id, SUM(cpu_seconds) FROM usage_ticks GROUP BY 1")
    assert len(ran) > 2
    assert {bunker: float(seconds) for bunker, seconds in told} == pytest.approx(
        {bunker: float(seconds) for bunker, seconds in ran}, abs=0.01
    )
