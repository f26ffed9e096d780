"""What must be so after each death: nothing is held twice or by nobody, no machine runs without its bunker, and no
bunker is stuck."""

from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from scaibunker.controller.bunkers.domain import Desired
from scaibunker.controller.bunkers.lifecycle import FINAL, State
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.quotas.drift import GRACE_S
from scaigrid.idempotency.tables import idempotency_keys
from tests.integration.deaths.lives import MortalStack
from tests.integration.inside import whole
from tests.integration.places import in_step
from tests.integration.quotas.books import Books
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack
from tests.waiting import until

AT_REST = {
    *((each, each, False) for each in (State.RUNNING.value, State.PAUSED.value)),
    (State.PAUSED.value, Desired.PASSIVATED.value, True),
}
"""What a bunker that lives is, what is wanted of it, and whether it sleeps, if there is nothing to do about
it."""


class Scene:
    """The product, and what must be so in it."""

    def __init__(self, stack: MortalStack, worker: SimulatedWorker) -> None:
        self.stack = stack
        self.hears: Stack = stack
        self.workers = [worker]
        self.books = Books(stack)

    async def beat(self) -> None:
        for worker in self.workers:
            await worker.beat(self.hears.client)

    async def settled(self) -> set[str]:
        """The bunkers that live, once none is on its way to something else."""
        alive: set[str] = set()
        shown: list[Any] = []

        async def nothing_moves() -> bool:
            await self.beat()
            c = bunkers.c
            async with self.stack.grid.database.read() as db:
                rows = await db.rows(
                    whole(
                        select(c.id, c.status, c.desired, c.passivated).where(
                            c.status.not_in(FINAL)
                        )
                    )
                )
            shown[:] = rows
            alive.clear()
            alive.update(row["id"] for row in rows)
            return all(
                (row["status"], row["desired"], row["passivated"]) in AT_REST for row in rows
            )

        await until(nothing_moves, what=lambda: f"no bunker to be stuck: {shown}")
        return alive

    async def a_minute_later(self) -> None:
        """Background workers do what is due when nobody can be at a create of before any more."""
        client, key = self.stack.grid.live.client, self.stack.grid.live.key
        async for name in client.scan_iter(key("quota", "bunker", "*")):
            await client.hincrby(name, "at", -GRACE_S - 1)
        async for name in client.scan_iter(key("quota", "resized", "*")):
            await client.delete(name)
        await self.stack.run_task("scaibunker.mend_holds")
        # A hold of nobody is all that a death may leave.
        assert [self.mended(kind) for kind in ("missing", "counter", "place")] == [0, 0, 0]

    def mended(self, kind: str) -> float:
        """How much of that kind the tasks that ran in this process have mended."""
        registry = self.stack.grid.metrics.registry
        return registry.get_sample_value("scaibunker_quota_drift_total", {"kind": kind}) or 0

    async def agrees(self, alive: set[str]) -> None:
        """Rows, counters, places and machines know these bunkers and no others."""
        assert await self.settled() == alive
        await self.beat()
        assert {each for worker in self.workers for each in worker.machines} == alive
        await self.books.agree()
        assert set(await self.books.counters.stashes()) == alive
        said = await in_step(self.stack)
        assert sum(held.bunkers for held in said.values()) == len(alive)

    async def lease_is_over(self) -> None:
        """Nobody works on the requests of a process that died half a minute ago."""
        at = self.stack.grid.clock.now() - timedelta(seconds=1)
        async with self.stack.grid.database.write() as db:
            await db.execute(whole(update(idempotency_keys)).values(lease_until=at))

    async def lock_is_over(self) -> None:
        """Who counted anew has not said for some time that it still does."""
        await self.stack.grid.live.client.delete(self.stack.grid.live.key("quota", "rebuild"))

    async def end(self, alive: set[str]) -> None:
        """End what lives: nothing is held any more."""
        for bunker_id in alive:
            record = await self.stack.data_of("DELETE", f"/bunkers/{bunker_id}")
            assert record["status"] == "terminated"
        await self.agrees(set())
        assert await self.books.counters.counted() == {}


BORN = {"HOLD", "PUT /v1/machines/bnk"}
GONE = {"LET_GO", "DELETE /v1/machines/bnk"}
