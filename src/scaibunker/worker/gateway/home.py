"""Where one worker's gateway lives on its host: what daemon and gateway agree on beforehand."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """`run_dir` (root's alone) holds the control socket and the lock; `root_dir` is all that the gateway sees of the
    host's files; `uid` is the user and group that it serves as, and nobody else's."""

    run_dir: Path
    root_dir: Path
    uid: int

    @property
    def socket(self) -> Path:
        return self.run_dir / "gateway.sock"

    @property
    def lock(self) -> Path:
        """Held by the gateway for as long as it lives; says who that is."""
        return self.run_dir / "gateway.lock"

    @property
    def log(self) -> Path:
        return self.root_dir.with_suffix(".log")

    @property
    def spools(self) -> Path:
        return self.root_dir / "spool"
