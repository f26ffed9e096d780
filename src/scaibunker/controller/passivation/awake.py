"""Whoever uses a bunker that sleeps wakes it, and waits until it runs.

Only the wish is written here, once, whoever comes first; the reconciler does the rest. One that is on its way
to sleep, because it was idle, stays awake.
"""

from collections.abc import Callable

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.activity import Activity
from scaibunker.controller.bunkers.domain import Bunker, Desired
from scaibunker.controller.bunkers.errors import BunkerNotFound, BunkerNotRunning
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.bunkers.notify import Notifier
from scaibunker.controller.passivation import refusals
from scaibunker.controller.passivation.domain import may_stay_awake
from scaibunker.controller.settings import ReconcileSettings
from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.errors import WorkerUnreachable
from scaigrid.db import Database, Reader, Writer
from scaigrid.operation import Operation


class Awake:
    """Waits for bunkers to be awake. `hint` tells the reconciler of one."""

    def __init__(
        self,
        database: Database,
        notifier: Notifier,
        activity: Activity,
        settings: ReconcileSettings,
        hint: Callable[[str], None],
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._activity = activity
        self._settings = settings
        self._hint = hint

    async def __call__(self, op: Operation, bunker_id: str, *, resume: bool = False) -> None:
        """Return when it runs. With `resume` also one that was paused before it was to sleep. Raises
        BunkerNotFound, BunkerNotRunning, WorkerUnreachable after a while, and `refusals.REFUSALS`."""
        deadline = op.clock.monotonic() + self._settings.wake_timeout_s
        waited = False
        while True:
            signal = self._notifier.subscribe(bunker_id)
            async with self._database.read() as db:
                bunker = await repository.get(op, db, bunker_id)
                if bunker is None:
                    raise BunkerNotFound
                stays = await self._stays(op, db, bunker)
            _check(bunker)
            if bunker.status is State.RUNNING and not bunker.is_asleep:
                return
            if bunker.passivated and bunker.desired is not Desired.RUNNING:
                if waited and bunker.wake_refusal is not None:
                    raise refusals.read(bunker.wake_refusal)
                waited |= await self._want(op, bunker)
                continue
            if not bunker.passivated:
                if _was_paused(bunker) and not resume:
                    raise BunkerNotRunning.because(State.PAUSED.value)
                if bunker.is_asleep and stays and bunker.status is not State.RUNNING:
                    await self._want(op, bunker)
                    continue
            waited = True
            left = deadline - op.clock.monotonic()
            if left <= 0:
                raise _late(bunker)
            await self._notifier.wait(signal, left)

    async def _stays(self, op: Operation, db: Reader, bunker: Bunker) -> bool:
        if bunker.passivated or not bunker.is_asleep or bunker.worker_id is None:
            return False
        worker = await workers.get(op, db, bunker.worker_id)
        return worker is not None and may_stay_awake(bunker, op.now(), worker.emptied_since)

    async def _want(self, op: Operation, bunker: Bunker) -> bool:
        """Write that it is wanted, if nobody has changed it; whoever has is found at the next look. Returns
        whether it was written."""
        values: dict[str, object] = {"desired": Desired.RUNNING.value, "desired_reason": None}
        if bunker.passivated:
            values |= {"waking_since": op.now(), "wake_refusal": None}

        async def work(db: Writer) -> bool:
            return await repository.change(op, db, bunker, **values)

        written = await self._database.transaction(work)
        if written:
            self._activity.touch(bunker.id)
            self._hint(bunker.id)
        return written


def _check(bunker: Bunker) -> None:
    if bunker.is_final:
        raise BunkerNotRunning.because(bunker.status.value)
    if bunker.desired is Desired.TERMINATED:
        raise BunkerNotRunning.because("being terminated")


def _was_paused(bunker: Bunker) -> bool:
    """Whether somebody has paused it, and only then it became idle."""
    if bunker.desired is Desired.PAUSED:
        return True
    return bunker.desired is Desired.PASSIVATED and bunker.passivated_from is Desired.PAUSED


def _late(bunker: Bunker) -> WorkerUnreachable:
    what = "woken" if bunker.passivated else "put to sleep"
    return WorkerUnreachable(
        f"The bunker is still being {what}. Nothing was done in it.",
        hint="Try again in a moment: it goes on in the background.",
        retry_after=5,
    )
