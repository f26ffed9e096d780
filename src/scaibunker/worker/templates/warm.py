"""Warm starts of this worker: which templates it makes, which machines it keeps prepared, and who gets them.

One task works in the background, on one thing at a time, with a tenth of everybody else's share of the processor: a template
for what was booted cold or asked for, then prepared machines for what was used last. Whatever fails here is tried again later,
and costs nobody more than a cold boot.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from scaibunker.wire.worker.templates import MAX_TEMPLATES, TemplateShape
from scaibunker.worker.disks.upper import GROWS_TO_MB
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.machines.host import Host
from scaibunker.worker.room import Room
from scaibunker.worker.templates import build, slot
from scaibunker.worker.templates.pool import Pool
from scaibunker.worker.templates.retries import Retries
from scaibunker.worker.templates.shape import Basis, Shape
from scaibunker.worker.templates.shelf import Shelf
from scaibunker.worker.templates.slot import Slot
from scaibunker.worker.templates.stand import Purpose, Stand
from scaibunker.worker.templates.template import Template

log = structlog.get_logger(__name__)

MAX_WISHES = 64
"""Shapes that wait for their template at most; others are wished for again at their next cold boot."""
LOOKS_AGAIN_S = 0.25
"""Pause between looks whether machines are still being built."""
PATIENCE_S = 60.0
"""A worker that is never quiet does it all the same after so many seconds."""
LARGEST_MB = GROWS_TO_MB // 16
"""MiB of a template's disk at most."""
ROOM_MB = 512
"""MiB of memory, and of disk, that stay free of what is made here."""
FAULTS = (WorkerFault, OSError, TimeoutError)


@dataclass(frozen=True)
class WarmLimits:
    """`disk_mb` and `memory_mb` in MiB for all templates, and for the prepared machines with them; `slots` prepared
    machines of each shape that is in use."""

    disk_mb: int
    memory_mb: int
    slots: int


class WarmStarts:
    """`changed` is called when there is another template. Nothing happens before `start`."""

    def __init__(self, host: Host, limits: WarmLimits, changed: Callable[[], None]) -> None:
        self._host = host
        self._limits = limits
        self._changed = changed
        self._basis = Basis(host.kernel, host.initramfs, host.driver.state_format)
        self._shelf = Shelf(host.templates_dir / "ready", limits.disk_mb << 20, limits.memory_mb)
        self._pool = Pool(limits.slots, limits.memory_mb)
        self._retries = Retries()
        self._wishes: dict[Shape, int] = {}
        self._stands: set[Stand] = set()
        self._cores = os.cpu_count() or 1
        self._news = asyncio.Event()
        self._busy_since: float | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, free_uid: Callable[[], int], building: Callable[[], list[Shape]]) -> None:
        """Take over the templates of an earlier daemon, and begin. `free_uid` gives a user that nobody has, `building`
        the shapes of the machines that are being built. Raises OSError."""
        self._free_uid, self._building = free_uid, building
        self._shelf.take_over()
        self._task = asyncio.create_task(self._run(), name="warm starts")

    async def close(self) -> None:
        """End the work, and every prepared machine."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for prepared in self._pool.drain():
            await self._clear(prepared)
        self._shelf.close()

    @property
    def uids(self) -> set[int]:
        """Users of machines that are nobody's yet."""
        return {stand.uid for stand in self._stands}

    @property
    def prepared(self) -> int:
        """How many machines are prepared."""
        return len(self._pool)

    def templates(self) -> list[TemplateShape]:
        """Those there are, the one that was used last first."""
        known = sorted(self._shelf, key=lambda t: -t.used_at)[:MAX_TEMPLATES]
        return [
            TemplateShape(
                image_sha256=s.image_sha256, vcpus=s.vcpus, memory_mb=s.memory_mb, nic=s.nic
            )
            for s in (template.shape for template in known)
            if s.nic != "bridged"
        ]

    async def take(self, shape: Shape, disk_mb: int) -> Slot | None:
        """A machine whose disk is not larger than that, which stands still and is the caller's from now on, prepared or made at once;
        None if it has to be booted. Never raises for a template that is of no use."""
        try:
            basis = await self._basis.digest()
        except OSError:
            return None
        self._pool.used(shape, time.monotonic())
        self._news.set()
        template = self._shelf.find(basis, shape)
        if template is None or template.manifest.disk_mb > disk_mb:
            return None
        prepared = self._pool.take(template)
        if prepared is None:
            prepared = await self._restore(template, background=False)
        if prepared is not None:
            self._stands.discard(prepared.stand)
        return prepared

    def booted(self, shape: Shape, disk_mb: int) -> None:
        """A machine of that shape and disk was booted cold: the next one need not be."""
        if shape in self._wishes or len(self._wishes) < MAX_WISHES:
            disk_mb = min(disk_mb, LARGEST_MB)
            self._wishes[shape] = min(disk_mb, self._wishes.get(shape, disk_mb))
            self._news.set()

    def warm_up(self, shape: Shape, disk_mb: int) -> None:
        """Have a template of that shape soon, whatever has failed before. Raises WorkerFault if the image is not here."""
        self._host.images.ensure(shape.image_sha256, shape.image_size)
        self._retries.forget(shape)
        self.booted(shape, disk_mb)

    def spoiled(self, taken: Slot) -> None:
        """A machine that was taken has not become a bunker: its template is made anew, but not at once."""
        self._failed(taken.stand.shape, "a machine that was made of it did not answer")
        for template in self._shelf:
            if template.shape == taken.stand.shape:
                self._shelf.discard(template)
        self._changed()

    # The work in the background

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                pause = await self._turn()
            except FAULTS as error:
                log.warning("warm_starts_failed", reason=str(error))
                pause = PATIENCE_S
            except Exception:
                log.exception("warm_starts_broke")
                pause = PATIENCE_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    async def _turn(self) -> float | None:
        """Do one thing; returns the seconds until there may be another, None until there is news."""
        now = time.monotonic()
        basis = await self._basis.digest()
        self._shelf.drop_stale(basis)
        for prepared in self._pool.outdated(list(self._shelf), now):
            await self._clear(prepared)
        wish = self._next_wish(basis, now)
        template = None if wish else self._next_filling(basis, now)
        if wish is None and template is None:
            self._busy_since = None
            due = [self._retries.due_in(s, now) for s in self._wishes]
            return min([*due, self._pool.idle_in(now)], default=None)
        if self._others_first(wish) and not self._impatient(now):
            return LOOKS_AGAIN_S
        self._busy_since = None
        if wish is not None:
            await self._build(wish, basis)
        elif template is not None:
            await self._fill(template)
        return 0

    def _others_first(self, wish: Shape | None) -> bool:
        """A template is made when nobody waits; a machine is prepared while there is a core for it."""
        building = self._building()
        if wish is None:
            return len(building) >= self._cores
        return bool(building)

    def _impatient(self, now: float) -> bool:
        if self._busy_since is None:
            self._busy_since = now
        return now - self._busy_since > PATIENCE_S

    def _next_wish(self, basis: str, now: float) -> Shape | None:
        for shape in list(self._wishes):
            found = self._shelf.find(basis, shape)
            if found is not None and found.manifest.disk_mb <= self._wishes[shape]:
                del self._wishes[shape]
            elif self._retries.due_in(shape, now) <= 0:
                return shape
        return None

    def _next_filling(self, basis: str, now: float) -> Template | None:
        for shape in self._pool.lacking(now, self._shelf.memory_taken_mb):
            template = self._shelf.find(basis, shape)
            if template is not None and self._retries.due_in(shape, now) <= 0:
                return template
        return None

    async def _build(self, shape: Shape, basis: str) -> None:
        disk_mb = self._wishes.pop(shape)
        begun = time.monotonic()
        try:
            self._host.images.ensure(shape.image_sha256, shape.image_size)
            self._check_room(shape)
            stand = self._stand(shape, "tpl", background=True)
            try:
                template = await build.build(self._shelf, stand, basis, disk_mb)
            finally:
                self._stands.discard(stand)
        except FAULTS as error:
            self._failed(shape, str(error))
            self.booted(shape, disk_mb)
            return
        self._retries.forget(shape)
        log.info(
            "template_built",
            image=shape.image_sha256[:12],
            vcpus=shape.vcpus,
            memory_mb=shape.memory_mb,
            size_mb=template.size >> 20,
            took_s=round(time.monotonic() - begun, 2),
        )
        self._changed()

    async def _fill(self, template: Template) -> None:
        prepared = await self._restore(template, background=True)
        if prepared is None:
            return
        try:
            await prepared.warm_up()
        except BaseException as error:
            await asyncio.shield(self._clear(prepared))
            if not isinstance(error, FAULTS):
                raise
            self._failed(template.shape, str(error))
            return
        prepared.vmm.on_exit(lambda: self._lost(prepared))
        self._pool.add(prepared, template)
        log.info("slot_ready", slot=prepared.stand.name, taken_mb=prepared.taken_mb)

    async def _restore(self, template: Template, *, background: bool) -> Slot | None:
        stand = self._stand(template.shape, "slot", background=background)
        try:
            async with self._shelf.opened(template) as memory:
                return await slot.restore(template, memory, stand)
        except BaseException as error:
            self._stands.discard(stand)
            if not isinstance(error, FAULTS):
                raise
            self._failed(template.shape, str(error))
            self._shelf.discard(template)
            self._changed()
            return None

    def _stand(self, shape: Shape, purpose: Purpose, *, background: bool) -> Stand:
        stand = Stand.fresh(self._host, shape, purpose, self._free_uid(), background=background)
        self._stands.add(stand)
        return stand

    def _lost(self, prepared: Slot) -> None:
        """The process of a prepared machine has ended: somebody was short of memory."""
        if self._pool.remove(prepared):
            log.warning("slot_lost", slot=prepared.stand.name)
            self._pool.lost.append(prepared)
            self._news.set()

    async def _clear(self, prepared: Slot) -> None:
        try:
            await prepared.clear()
        except FAULTS as error:  # the next daemon removes what is left
            log.warning("slot_left", slot=prepared.stand.name, reason=str(error))
        self._stands.discard(prepared.stand)

    def _failed(self, shape: Shape, reason: str) -> None:
        pause = self._retries.failed(shape, time.monotonic())
        log.warning(
            "template_failed", image=shape.image_sha256[:12], reason=reason, again_in_s=pause
        )

    def _check_room(self, shape: Shape) -> None:
        """Raises WorkerFault if the host would be short of memory or disk for it."""
        needed = shape.memory_mb + self._host.driver.memory_overhead_mb + ROOM_MB
        if available_mb() < needed:
            raise WorkerFault(f"the host has less than {needed} MiB of memory to spare")
        room = Room(self._host.templates_dir, self._host.reserve_bytes)
        room.check((shape.memory_mb + ROOM_MB) << 20, "a template")


def available_mb() -> int:
    """MiB of memory that programs of this host could get."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    raise WorkerFault("/proc/meminfo does not say what is available")
