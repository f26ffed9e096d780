"""`scaibunker doctor --reclaim`, and what `doctor` says of what there is to reclaim."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.finding import Finding
from scaibunker.worker.network.ranges import Ranges
from scaibunker.worker.network.settings import NetworkSettings
from scaibunker.worker.remains import survey
from scaibunker.worker.remains.reclaim import Reclaimed, reclaim
from scaibunker.worker.remains.survey import Places, Standing
from scaibunker.worker.settings import WorkerSettings

COMMAND = "scaibunker doctor --reclaim"
RUNTIME_DIR = "SCAIBUNKER_WORKER_RUNTIME_DIR"


def places() -> Places:
    """Where workers of this host keep their things, as the environment says. Raises ValidationError."""
    network = NetworkSettings()
    default = WorkerSettings.model_fields["runtime_dir"].default
    folder = os.environ.get(RUNTIME_DIR)
    ranges = Ranges(network.transfer_v4, network.transfer_v6)
    return Places(Path(folder) if folder else default, network.claims_dir, ranges)


def findings(where: Places) -> Iterator[Finding]:
    """One for each worker that has left something and will not come back, as far as that can be told."""
    for worker in survey.workers(where):
        things = ", ".join(worker.things)
        if worker.standing is Standing.LOST:
            value = f"its data folder {worker.data_dir} is gone; left: {things}"
            yield _finding(worker.id, value, COMMAND)
        elif worker.standing is Standing.UNKNOWN:
            value = f"nothing says where its data folder is; left: {things}"
            yield _finding(
                worker.id, value, f"if it is gone for good: {COMMAND} --worker {worker.id}"
            )
    for name in survey.nameless(where):
        advice = "if no worker of this host has made it, remove it with `ip` or `nft`"
        yield _finding(name, "nothing says which worker has made it", advice)


def run(named: Sequence[str] = ()) -> list[Finding]:
    """Take away what the named workers have left, or all whose data folder is gone. A required finding that is not `ok` says
    what is left, or why nothing was done."""
    if os.geteuid() != 0:
        return [Finding("root", False, f"uid {os.geteuid()}", "run as root", required=True)]
    try:
        done = asyncio.run(reclaim(places(), named))
    except WorkerFault as fault:
        return [Finding("reclaim", False, fault.message, None, required=True)]
    return [_result(each) for each in done]


def _finding(name: str, value: str, advice: str) -> Finding:
    return Finding(
        f"left by {name}" if name.startswith("wrk_") else name, False, value, advice, False
    )


def _result(done: Reclaimed) -> Finding:
    removed = f"removed: {', '.join(done.removed) or 'nothing'}"
    left = f"left: {'; '.join(done.left)}" if done.left else None
    return Finding(done.worker_id, not done.left, removed, left, required=True)
