"""What is written down of bridges: a file for each, before there is anything else of it, until nothing is left."""

import contextlib
import os
from pathlib import Path

import structlog

from scaibunker.wire.worker.bridges import BridgeSpec

log = structlog.get_logger(__name__)

SUFFIX = ".json"


class Records:
    """A folder of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> dict[str, BridgeSpec]:
        """All of them, by id. One that cannot be read is passed over: the controller orders its bridge again."""
        found = {}
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                spec = BridgeSpec.model_validate_json(path.read_bytes())
            except (OSError, ValueError):
                log.warning("bridge_record_unreadable", path=str(path))
                continue
            if path.name == spec.bridge_id + SUFFIX:
                found[spec.bridge_id] = spec
        return found

    def write(self, spec: BridgeSpec) -> None:
        """It is there whatever happens afterwards. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / (spec.bridge_id + SUFFIX)
        temporary = path.with_suffix(".tmp")
        with temporary.open("w") as file:
            file.write(spec.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        self._sync()

    def remove(self, bridge_id: str) -> None:
        """Idempotent. Raises OSError."""
        (self._folder / (bridge_id + SUFFIX)).unlink(missing_ok=True)
        self._sync()

    def _sync(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
