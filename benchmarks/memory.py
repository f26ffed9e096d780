"""What a machine, or any process, takes of the host's memory."""

import json
from pathlib import Path


def pss_mb(worker_dir: Path, machine_id: str) -> float:
    """Proportional set size of the VMM process of that machine, in MiB: shared pages count by share. The worker has
    written down which process it is."""
    record = json.loads((worker_dir / "machines" / machine_id / "machine.json").read_text())
    return pss_of(record["process"]["pid"])


def pss_of(pid: int) -> float:
    """The same of any process."""
    return _pss(Path(f"/proc/{pid}/smaps_rollup"))


def _pss(rollup: Path) -> float:
    for line in rollup.read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"{rollup} has no Pss")
