"""Clients that create, use and end bunkers all the time, and remember every answer they got."""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.waiting import wait_until

ANSWER_S = 100.0
POLL_S = 0.25
"""Asking is work too, on the machine that is to boot meanwhile."""
SMALL = {"image": "debian-12", "memory_mb": 128, "cpu_millicores": 200, "disk_mb": 64}
LOG = "/var/tmp/log"


@dataclass
class Acknowledged:
    """What a client was told of one bunker: commands by exec id, with the word that each wrote."""

    id: str
    execs: dict[str, str] = field(default_factory=dict)
    ended: bool = False


class Client:
    """One caller. A request that got no answer, or one that says `later`, is sent again."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.retried: list[str] = []

    def create(self, **fields: Any) -> Acknowledged:
        """Create a bunker; it need not run yet."""
        name = f"load-{uuid.uuid4().hex}"
        body = {**SMALL, "name": name, **fields}
        headers = {"Idempotency-Key": name}
        made = self.ask(201, lambda: self.http.post("/bunkers", json=body, headers=headers))
        return Acknowledged(made["id"])

    def status(self, bunker: Acknowledged) -> dict[str, Any]:
        """Its record."""
        return self.ask(200, lambda: self.http.get(f"/bunkers/{bunker.id}"))

    def until_runs(self, bunker: Acknowledged) -> None:
        """Wait for its machine."""
        record = {"status": "pending"}

        def settled() -> bool:
            record.update(self.status(bunker))
            return record["status"] not in ("pending", "provisioning")

        def what() -> str:
            return f"a machine: {record}; {self.retried[-3:]}"

        wait_until(settled, ANSWER_S, what, every_s=POLL_S)
        assert record["status"] == "running", record

    def write(self, bunker: Acknowledged) -> None:
        """Have it write a word down. Sent again, it may do so twice."""
        word = uuid.uuid4().hex
        done = self.exec(bunker, f"echo {word} >> {LOG}; echo {word}; exit 3")
        assert (done["stdout"], done["exit_code"]) == (f"{word}\n", 3), done
        bunker.execs[done["exec_id"]] = word

    def check(self, bunker: Acknowledged) -> None:
        """All words that were acknowledged are there, in their order."""
        words = self.exec(bunker, f"cat {LOG}")["stdout"].split()
        acknowledged = list(bunker.execs.values())
        assert [w for w in dict.fromkeys(words) if w in acknowledged] == acknowledged, words

    def exec(self, bunker: Acknowledged, command: str) -> dict[str, Any]:
        """Run a command to its end."""
        body = {"command": command, "timeout_s": 30}
        return self.ask(200, lambda: self.http.post(f"/bunkers/{bunker.id}/exec", json=body))

    def delete(self, bunker: Acknowledged) -> None:
        """End it."""
        self.ask(200, lambda: self.http.delete(f"/bunkers/{bunker.id}"))
        bunker.ended = True

    def ask(self, status: int, send: Callable[[], httpx.Response]) -> dict[str, Any]:
        """The data of the answer, after as many tries as it takes."""
        answers: list[httpx.Response] = []

        def tried() -> bool:
            try:
                answer = send()
            except httpx.TransportError as error:
                self.retried.append(repr(error))
                return False
            if answer.status_code >= 500 or _still_held(answer):
                self.retried.append(answer.text)
                return False
            answers.append(answer)
            return True

        wait_until(tried, ANSWER_S, lambda: f"an answer; {self.retried[-2:]}")
        assert answers[0].status_code == status, answers[0].text
        data: dict[str, Any] = answers[0].json()["data"]
        return data


class LoadClient(threading.Thread):
    """A client that does one round after the other until it is told to stop."""

    def __init__(self, http: httpx.Client) -> None:
        super().__init__(name="load")
        self.client = Client(http)
        self.bunkers: list[Acknowledged] = []
        self.rounds: list[float] = []
        """When those began that came to their end; monotonic."""
        self.wrong: list[str] = []
        self._told = threading.Event()

    def run(self) -> None:
        with self.client.http:
            try:
                while not self._told.is_set():
                    began = time.monotonic()
                    self._round()
                    self.rounds.append(began)
            except Exception as error:  # for the test to see
                self.wrong.append(repr(error))

    def _round(self) -> None:
        bunker = self.client.create()
        self.bunkers.append(bunker)
        self.client.until_runs(bunker)
        for _ in range(3):
            self.client.write(bunker)
        self.client.check(bunker)
        self.client.delete(bunker)

    def tell_to_stop(self) -> None:
        """Come to the end of what it is at."""
        self._told.set()


class Load:
    """Several of them."""

    def __init__(self, make: Callable[[], httpx.Client], clients: int) -> None:
        self._clients = [LoadClient(make()) for _ in range(clients)]

    def start(self) -> None:
        """Begin."""
        for client in self._clients:
            client.start()

    def stop(self) -> None:
        """Come to an end; all are told before any is waited for."""
        for client in self._clients:
            client.tell_to_stop()
        for client in self._clients:
            client.join(2 * ANSWER_S)
            assert not client.is_alive()

    @property
    def wrong(self) -> list[str]:
        """Answers that should not have come."""
        return [wrong for client in self._clients for wrong in client.wrong]

    @property
    def bunkers(self) -> list[Acknowledged]:
        """Everything that was acknowledged."""
        return [bunker for client in self._clients for bunker in client.bunkers]

    @property
    def retried(self) -> list[str]:
        """Why requests were sent again."""
        return [why for client in self._clients for why in client.client.retried]

    def a_new_round(self) -> None:
        """Wait until a round that began from now on has come to its end."""
        now = time.monotonic()
        wait_until(
            lambda: bool(self.wrong) or any(b >= now for c in self._clients for b in c.rounds),
            90,
            lambda: f"a round; {self.retried[-3:]}",
        )
        assert self.wrong == [], (self.wrong, self.retried[-3:])

    def is_disturbed(self) -> None:
        """Wait until a request from now on had to be sent again."""
        before = len(self.retried)
        wait_until(
            lambda: bool(self.wrong) or len(self.retried) > before, 60, lambda: "a disturbance"
        )
        assert self.wrong == [], (self.wrong, self.retried[-3:])


def _still_held(answer: httpx.Response) -> bool:
    """The key of a request that died with its replica is free again only after a while."""
    return answer.status_code == 409 and "IDEMPOTENCY" in answer.json()["error"]["code"]
