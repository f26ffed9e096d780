"""Writing a machine's memory and devices to an open file, and reading them back: QEMU's migration.

QEMU is handed the open file over its control socket (`fd:`): it cannot open one by itself, nor start a
program. Zeroed pages take nothing in the stream. It reads and writes in a thread of its own, so that
its control socket answers meanwhile.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.vmm.port import Progress
from scaibunker.worker.vmm.qemu import qmp

STREAM = "state"
"""The name by which QEMU knows the file."""
POLL_FIRST_S, POLL_LAST_S = 0.01, 0.25
STALLED_AFTER_S = 60.0
"""Seconds without a byte until it counts as broken: a disk or a reader that takes nothing more."""
CANCEL_TIMEOUT_S = 15.0
UNLIMITED = 1 << 50
"""Bytes a second; QEMU's own limit is for networks that others use too."""
UNDER_WAY = ("setup", "active", "device", "cancelling", "pre-switchover", "wait-unplug")
SAVED_BEFORE = "postmigrate"


async def save(
    control: Path, target: int, progress: Progress, *, devices_only: bool = False
) -> None:
    """Save the machine, which is paused. Raises QmpError; whoever calls cancels then."""
    async with qmp.session(control) as session:
        if (await session.execute("query-status"))["status"] == SAVED_BEFORE:
            # QEMU lets go of the disk after a save and takes it back only to go on. The guest gets a
            # moment; what is saved is its state after that.
            await session.execute("cont")
            await session.execute("stop")
        await _leave_memory_out(session, devices_only)
        await session.execute("migrate-set-parameters", **{"max-bandwidth": UNLIMITED})
        await session.hand_over(target, STREAM)
        await session.execute("migrate", uri=f"fd:{STREAM}")
    watch = _Stall()
    while True:
        state = await _query(control)
        match state.get("status"):
            case "completed":
                return
            case "failed" | "cancelled" as status:
                raise qmp.QmpError(f"QEMU has {status}: {state.get('error-desc', 'no reason')}")
        ram = state.get("ram", {})
        progress(
            int(ram.get("transferred", 0)),
            int(ram.get("transferred", 0)) + int(ram.get("remaining", 0)),
        )
        await watch.pause(int(ram.get("transferred", 0)))


async def abandon(control: Path) -> None:
    """End a save, whoever began it; returns when QEMU has let go of the file. Idempotent."""
    deadline = time.monotonic() + CANCEL_TIMEOUT_S
    while (await _query(control)).get("status") in UNDER_WAY:
        async with qmp.session(control) as session:
            await session.execute("migrate_cancel")
        if time.monotonic() > deadline:
            raise qmp.QmpError(
                f"QEMU went on saving for {CANCEL_TIMEOUT_S:g} s after it was told to stop"
            )
        await asyncio.sleep(POLL_FIRST_S)


async def load(
    control: Path, source: int, progress: Progress, *, devices_only: bool = False
) -> None:
    """Have a QEMU that waits for it read a saved state. Raises QmpError; one that cannot ends itself."""
    async with qmp.session(control) as session:
        await _leave_memory_out(session, devices_only)
        # No frames that tell others where the machine has gone: its neighbours know, and the guest has more to do.
        await session.execute("migrate-set-parameters", **{"announce-rounds": 0})
        await session.hand_over(source, STREAM)
        await session.execute("migrate-incoming", uri=f"fd:{STREAM}")
    watch = _Stall()
    while True:
        state = await _query(control)
        match state.get("status"):
            case "completed":
                return
            case "failed":
                raise qmp.QmpError("QEMU cannot read the saved state")
        position = _position(source)
        progress(position, position)
        await watch.pause(position)


async def _leave_memory_out(session: qmp.QmpSession, state: bool) -> None:
    """Whether memory that is a shared file is left out of the stream. The side that reads has to know, but may
    have the file as its private copy."""
    capability = {"capability": "x-ignore-shared", "state": state}
    await session.execute("migrate-set-capabilities", capabilities=[capability])


async def _query(control: Path) -> dict[str, Any]:
    async with qmp.session(control) as session:
        state = await session.execute("query-migrate")
    if not isinstance(state, dict):
        raise qmp.QmpError("QEMU says nothing sensible of what it saves")
    return state


def _position(descriptor: int) -> int:
    """How far a file that QEMU reads has been read: the position is shared. 0 for what has none."""
    try:
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    except OSError:
        return 0


class _Stall:
    """Pauses between looks, longer and longer, and a limit on how long nothing may happen."""

    def __init__(self) -> None:
        self._pause = POLL_FIRST_S
        self._done = -1
        self._since = time.monotonic()

    async def pause(self, done: int) -> None:
        """Raises WorkerFault if `done` has not moved for too long."""
        if done != self._done:
            self._done, self._since = done, time.monotonic()
        elif time.monotonic() - self._since > STALLED_AFTER_S:
            raise WorkerFault(f"nothing was written or read for {STALLED_AFTER_S:g} s")
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, POLL_LAST_S)
