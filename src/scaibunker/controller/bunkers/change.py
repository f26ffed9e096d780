"""What callers want done to a bunker: ended, frozen, going on, kept alive.

Each writes the intent, hints the reconciler, and waits a while for the outcome. An intent that has
not come true by then stays, and is carried out in the background.
"""

from collections.abc import Callable

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.activity import Activity
from scaibunker.controller.bunkers.domain import Bunker, Desired
from scaibunker.controller.bunkers.errors import BunkerInvalidTransition, BunkerNotRunning
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.bunkers.reading import Reading
from scaibunker.controller.passivation.awake import Awake
from scaibunker.controller.quotas.ledger import Ledger
from scaibunker.controller.workers.errors import WorkerUnreachable
from scaigrid.db import Database, Writer
from scaigrid.operation import Operation


class Changes:
    """Writes intents."""

    def __init__(
        self,
        database: Database,
        reading: Reading,
        activity: Activity,
        ledger: Ledger,
        hint: Callable[[str], None],
        wait_s: float,
        awake: Awake,
    ) -> None:
        self._database = database
        self._reading = reading
        self._activity = activity
        self._ledger = ledger
        self._hint = hint
        self._wait_s = wait_s
        self._awake = awake

    async def end(self, op: Operation, bunker_id: str) -> Bunker:
        """End a bunker. One that has ended is answered as it is. When it has, it holds nothing."""
        bunker = await self._reading.get(op, bunker_id)
        if not bunker.is_final:
            reason = f"ended by {op.user.name}"

            async def work(db: Writer) -> None:
                await repository.desire(op, db, bunker_id, Desired.TERMINATED, reason)

            await self._database.transaction(work)
            self._hint(bunker_id)
        bunker = await self._reading.until(op, bunker_id, lambda b: b.is_final, self._wait_s)
        if bunker.is_final:
            # Whoever ended it may not have come to this yet, or have died before it.
            await self._ledger.let_go(bunker_id)
        return bunker

    async def pause(self, op: Operation, bunker_id: str) -> Bunker:
        """Freeze a running bunker; one that sleeps is answered as it is. Raises BunkerInvalidTransition,
        WorkerUnreachable."""
        bunker = await self._reading.get(op, bunker_id)
        if bunker.is_asleep and bunker.status is State.PAUSED:
            return bunker
        return await self._power(op, bunker_id, State.RUNNING, State.PAUSED, Desired.PAUSED)

    async def resume(self, op: Operation, bunker_id: str) -> Bunker:
        """Let a paused bunker go on, and wake one that sleeps. Raises BunkerInvalidTransition,
        WorkerUnreachable, and what waking raises."""
        bunker = await self._reading.get(op, bunker_id)
        if bunker.is_asleep and not (bunker.is_final or bunker.desired is Desired.TERMINATED):
            await self._awake(op, bunker_id, resume=True)
            return await self._reading.get(op, bunker_id)
        return await self._power(op, bunker_id, State.PAUSED, State.RUNNING, Desired.RUNNING)

    async def _power(
        self, op: Operation, bunker_id: str, source: State, target: State, desired: Desired
    ) -> Bunker:
        bunker = await self._reading.get(op, bunker_id)

        async def work(db: Writer) -> bool:
            return await repository.desire(op, db, bunker_id, desired, None, while_in=[source])

        if not await self._database.transaction(work):
            raise BunkerInvalidTransition.between(_apparent(bunker), target.value)
        self._activity.touch(bunker_id)
        self._hint(bunker_id)
        bunker = await self._reading.until(
            op, bunker_id, lambda b: b.status is target or b.desired is not desired, self._wait_s
        )
        if bunker.is_final or bunker.desired is Desired.TERMINATED:
            raise BunkerInvalidTransition.between(_apparent(bunker), target.value)
        if bunker.status is not target and bunker.desired is desired:
            raise WorkerUnreachable(
                f"The bunker's worker has not answered; the bunker will be {target.value} when it "
                "does."
            )
        return bunker

    async def keep_alive(self, op: Operation, bunker_id: str) -> Bunker:
        """Count as activity. Raises BunkerNotRunning for a bunker that has ended or is to end."""
        bunker = await self._alive(op, bunker_id)
        self._activity.touch(bunker_id)
        if await self._activity.secure(bunker_id, bunker.idle_at):
            bunker = await self._alive(op, bunker_id)
        return bunker

    async def _alive(self, op: Operation, bunker_id: str) -> Bunker:
        bunker = await self._reading.get(op, bunker_id)
        if bunker.is_final or bunker.desired is Desired.TERMINATED:
            raise BunkerNotRunning.because(_apparent(bunker))
        return bunker


def _apparent(bunker: Bunker) -> str:
    """What the bunker counts as for a caller who wants to change it."""
    if bunker.desired is Desired.TERMINATED and not bunker.is_final:
        return State.TERMINATED.value
    return bunker.status.value
