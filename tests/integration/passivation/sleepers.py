"""Persistent bunkers that fall asleep and wake, and workers for them."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.snapshots.tables import snapshots
from scaibunker.worker.snapshots.http_store import HttpStore
from tests.integration.fleets import look_at_fleet
from tests.integration.inside import whole
from tests.integration.places import in_step
from tests.integration.quotas.books import SMALL, Books
from tests.integration.simulated_worker import TOKEN, SimulatedWorker, beating
from tests.integration.stack import Stack
from tests.waiting import until

SIZE = {name: value for name, value in SMALL.items() if name != "image"}
BOTH = pytest.mark.parametrize("template", ["sqlite", "mariadb"], indirect=True)


@dataclass
class Sleepers:
    """The stack, and what is asked of it here."""

    stack: Stack
    worker: SimulatedWorker
    books: Books
    others: list[Stack] = field(default_factory=list)

    async def one(self, **body: Any) -> str:
        """A persistent bunker that runs."""
        fields = {**SIZE, "lifecycle_mode": "persistent", **body}
        return str((await self.stack.create(**fields))["id"])

    async def record(self, bunker_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.stack.data_of("GET", f"/bunkers/{bunker_id}")
        return found

    async def row(self, bunker_id: str) -> Any:
        async with self.stack.grid.database.read() as db:
            return await db.row(whole(select(bunkers).where(bunkers.c.id == bunker_id)))

    async def change(self, bunker_id: str, **values: Any) -> None:
        """As if it had been so for long."""
        async with self.stack.grid.database.write() as db:
            this = update(bunkers).where(bunkers.c.id == bunker_id)
            await db.execute(whole(this.values(**values)))

    def long_ago(self) -> datetime:
        return self.stack.grid.clock.now() - timedelta(days=1)

    async def idle(self, bunker_id: str) -> None:
        """Nobody has used it for a day."""
        for each in (self.stack, *self.others):
            await each.write_uses()
        await self.change(bunker_id, last_activity_at=self.long_ago())
        self.stack.controller.reconciler.hint(bunker_id)

    async def asleep(self, bunker_id: str) -> dict[str, Any]:
        """The record once it is passivated."""
        found: dict[str, Any] = {}

        async def reached() -> bool:
            found.update(await self.record(bunker_id))
            return bool(found["passivated"])

        await until(reached, what=lambda: f"{bunker_id} to sleep; it is {found}")
        return found

    async def put_to_sleep(self, bunker_id: str) -> dict[str, Any]:
        await self.idle(bunker_id)
        return await self.asleep(bunker_id)

    async def exec(self, bunker_id: str, **body: Any) -> httpx.Response:
        fields = {"command": "hello", **body}
        return await self.stack.call("POST", f"/bunkers/{bunker_id}/exec", json=fields)

    async def says_hello(self, bunker_id: str) -> None:
        answer = await self.exec(bunker_id)
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["stdout"] == "hello"

    async def until_free(self, worker: SimulatedWorker) -> None:
        await until(lambda: not worker.machines, what=lambda: f"{worker.machines} to be gone")

    async def alone(self) -> list[str]:
        """The snapshots that are not deleted, once nothing is left but those and what they, or a bunker's next
        one, may rest upon."""
        found: list[str] = []

        async def settled() -> bool:
            c = snapshots.c
            slept_in = select(bunkers.c.base_snapshot_id).where(bunkers.c.terminated_at.is_(None))
            async with self.stack.grid.database.read() as db:
                rows = await db.rows(whole(select(c.id, c.deleted_at, c.base_snapshot_id)))
                named = {each for each in await db.values(whole(slept_in)) if each}
            below = {row["id"]: row["base_snapshot_id"] for row in rows}
            found[:] = [row["id"] for row in rows if row["deleted_at"] is None]
            needed, next_ones = set(found), named | set(found)
            while next_ones:
                needed |= next_ones
                next_ones = {b for each in next_ones if (b := below.get(each))} - needed
            return set(below) == needed

        await until(settled, what=lambda: f"nothing but what is needed by {found}")
        return found

    async def agree(self) -> None:
        await in_step(self.stack)
        await until(self.books.agrees, what=lambda: "counters to be what rows are")


@contextlib.asynccontextmanager
async def another_worker(stack: Stack, name: str = "wrk_other") -> AsyncIterator[SimulatedWorker]:
    made = SimulatedWorker(name)
    made.snapshots.store = HttpStore(str(stack.client.base_url), TOKEN)
    await made.start()
    async with beating(made, stack.client):
        yield made
    await made.stop()


async def until_online(stack: Stack, worker: SimulatedWorker) -> None:
    async def known() -> bool:
        found = await stack.data_of("GET", "/workers", "super_admin")
        return worker.worker_id in {each["id"] for each in found}

    await until(known)
    await look_at_fleet(stack)
