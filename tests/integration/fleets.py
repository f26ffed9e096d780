"""A controller over a fleet of daemons on simulated hosts: what it is once it rests."""

from typing import Any

from scaibunker.controller.bunkers.lifecycle import FINAL
from scaibunker.testing.host import SimulatedHost
from tests.integration.places import in_step
from tests.integration.quotas.books import Books
from tests.integration.stack import Stack
from tests.waiting import until

Fleet = dict[str, SimulatedHost]


async def look_at_fleet(stack: Stack) -> None:
    """Have the controller choose by what is so now, not by what was so a moment ago."""
    await stack.controller._view.bring_up_to_date(stack.grid.clock.monotonic())


async def records(stack: Stack) -> list[dict[str, Any]]:
    """All bunkers that ever were."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        query = {"limit": "200", **({"cursor": cursor} if cursor else {})}
        page = (await stack.call("GET", "/bunkers", "tenant_admin", params=query)).json()
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def settled(stack: Stack, fleet: Fleet) -> None:
    """Wait until hosts run what the rows say, each in its place; then check the books."""
    seen: list[Any] = []

    async def as_it_should() -> bool:
        live = [r for r in await records(stack) if r["status"] not in FINAL]
        intended = {(r["id"], r["worker_id"], r["status"]) for r in live}
        actual = {
            (each, host.id, "running" if vmm.guest.thawed.is_set() else "paused")
            for host in fleet.values()
            for each, vmm in host.machines.items()
        }
        seen[:] = [intended - actual, actual - intended]
        return not any(seen)

    await until(as_it_should, what=lambda: f"nothing to be missing or astray: {seen}")
    await in_step(stack)
    await Books(stack).agree()
