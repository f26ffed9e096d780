"""What follows when the worker's disk is full: what is promised of it falls, and guests that were stopped go on.

A VMM stops a guest that has to write where no room is left, rather than fail its disk; it goes on when there
is room again.
"""

import asyncio
import time

import structlog

from scaibunker.wire.worker.heartbeat import Capacity
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.room import Room

log = structlog.get_logger(__name__)

MIB = 1024 * 1024
GRAIN_MB = 256
"""What is promised falls and rises in such steps, so that not each report differs from the last."""
LOOK_EVERY_S = 2.0
LOOK_AT_ALL_EVERY_S = 60.0
"""Between looks at machines although the disk was never seen full: it can fill up and empty between two."""


def promised(total: Capacity, room: Room, fleet: Fleet, *, overcommitted: bool) -> Capacity:
    """What may be given to machines, those that are there included. `overcommitted`: the operator has said
    how much that is, though the disk be smaller; then it is that, or nothing when the reserve is touched."""
    try:
        free = room.free()
    except OSError as error:
        log.warning("disk_unreadable", error=str(error))
        free = 0
    if free == 0:
        return total.model_copy(update={"disk_mb": 0})
    if overcommitted:
        return total
    there = (free + sum(machine.disk_bytes() for machine in fleet)) // MIB
    return total.model_copy(update={"disk_mb": min(total.disk_mb, there // GRAIN_MB * GRAIN_MB)})


async def watch(room: Room, fleet: Fleet) -> None:
    """Let machines go on that were stopped by a full disk. Until cancelled."""
    full, looked = True, 0.0  # an earlier daemon may have seen it full
    while True:
        try:
            free = room.free()
        except OSError:
            free = 0
        if free == 0:
            if not full:
                log.warning("disk_full", path=str(room.path))
            full = True
        elif full or time.monotonic() - looked > LOOK_AT_ALL_EVERY_S:
            full, looked = False, time.monotonic()
            await _let_go_on(fleet)
        await asyncio.sleep(LOOK_EVERY_S)


async def _let_go_on(fleet: Fleet) -> None:
    for machine in fleet:
        try:
            await machine.go_on_if_stopped()
        except WorkerFault as fault:  # looked at again
            log.warning("machine_not_let_go_on", bunker_id=machine.id, reason=fault.message)
