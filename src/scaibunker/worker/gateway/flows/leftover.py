"""What an earlier gateway that was killed has left of machines that this one does not serve: they ended meanwhile.

Nobody else would complete their batches, and say that records are missing.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from scaibunker.worker.gateway.counts import GAPS, Counts
from scaibunker.worker.gateway.flows.journal import RESTARTED
from scaibunker.worker.gateway.flows.records import of_loss
from scaibunker.worker.gateway.flows.spool import SUFFIX, UNFINISHED, WRITING, Spool, complete

log = structlog.get_logger(__name__)

NOT_SERVED_AFTER_S = 60.0
"""The daemon has said by then whom this gateway serves."""


class Leftover:
    """Of all folders in `spools`. `now` in seconds since 1970."""

    def __init__(
        self,
        spools: Path,
        make_spool: Callable[[Path], Spool],
        now: Callable[[], float] = time.time,
        counts: Counts | None = None,
    ) -> None:
        self._counts = counts or Counts()
        self._spools = spools
        self._make_spool = make_spool
        self._now = now
        self._bunkers: set[str] = set()

    def complete(self) -> None:
        """All batches that are not. Blocks; before anybody is served."""
        try:
            folders = sorted(path for path in self._spools.iterdir() if path.is_dir())
        except OSError as error:
            log.error("flow_spools_unreadable", error=str(error))
            return
        for folder in folders:
            try:
                self._complete(folder)
            except OSError as error:
                log.error("flow_batch_not_completed", bunker_id=folder.name, error=str(error))

    def served(self, bunker_id: str) -> None:
        """Whoever records its flows says what is missing."""
        self._bunkers.discard(bunker_id)

    async def tell(self, after_s: float = NOT_SERVED_AFTER_S) -> None:
        """Where a bunker is not served by then, write down that records may be missing."""
        await asyncio.sleep(after_s)
        for bunker_id in sorted(self._bunkers):
            folder = self._spools / bunker_id
            try:
                is_told = await asyncio.to_thread(self._tell, folder)
                if is_told and bunker_id in self._bunkers:  # else whoever serves it writes now
                    (folder / WRITING).unlink(missing_ok=True)
            except OSError as error:
                log.error("flow_batch_not_completed", bunker_id=bunker_id, error=str(error))
            else:
                if is_told:
                    self._counts.add(GAPS, RESTARTED)
                log.info("flows_of_former_told", bunker_id=bunker_id, told=is_told)

    def _complete(self, folder: Path) -> None:
        unfinished = [p for p in folder.iterdir() if p.name.endswith(SUFFIX + UNFINISHED)]
        if unfinished or (folder / WRITING).exists():
            self._bunkers.add(folder.name)
        for path in sorted(unfinished):
            _written(folder / WRITING, path.stat().st_mtime_ns)
            complete(path)

    def _tell(self, folder: Path) -> bool:
        """Whether nothing is left to say."""
        spool = self._make_spool(folder)
        since = spool.take_over()
        if since is not None:
            line = of_loss(folder.name, None, RESTARTED, since, self._now())
            if not spool.append(line, is_urgent=True):
                return False
        spool.complete()
        return True


def _written(marker: Path, last_ns: int) -> None:
    """That the dead gateway wrote there until then."""
    if not marker.exists() or marker.stat().st_mtime_ns < last_ns:
        marker.touch(mode=0o600)
        os.utime(marker, ns=(last_ns, last_ns))
