"""What a worker writes down of a machine, so that the next daemon can take it over.

One JSON file in the machine's state folder, replaced atomically at each change.
"""

import contextlib
import os
import shutil
from pathlib import Path

from pydantic import BaseModel

from scaibunker.wire.worker.machines import MachineSpec
from scaibunker.worker.vmm.process import ProcessId

RECORD_NAME = "machine.json"


class MachineRecord(BaseModel):
    """`token_hex` opens the guest channel; `generation` names this life of the machine, for its programs
    (empty: built before there was one); `slot` is what the host knows it by if it was made of a template;
    `uid` is the VMM's own user; `frozen_for_copy`: it is paused for a copy only, and goes on; `failure` is
    final, and `failure_code` what sort of one it is."""

    spec: MachineSpec
    token_hex: str
    uid: int
    generation: str = ""
    slot: str | None = None
    process: ProcessId | None = None
    ready: bool = False
    frozen_for_copy: bool = False
    failure: str | None = None
    failure_code: str | None = None
    console_tail: str | None = None


class StateFolder:
    """A machine's folder on the host's disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def upper_disk(self) -> Path:
        return self.path / "upper.ext4"

    @property
    def base(self) -> Path:
        """What is known of the snapshot that the next one may rest upon."""
        return self.path / "base"

    @property
    def restore(self) -> Path:
        """What is being made of a snapshot."""
        return self.path / "restore"

    @property
    def console_log(self) -> Path:
        return self.path / "console.log"

    @property
    def vmm_log(self) -> Path:
        return self.path / "vmm.log"

    @property
    def spools(self) -> Path:
        return self.path / "execs"

    def save(self, record: MachineRecord) -> None:
        """Replace the record; a crash leaves the old or the new one."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self.path / f".{RECORD_NAME}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(record.model_dump_json())
                file.flush()
                os.fsync(descriptor)
            temporary.rename(self.path / RECORD_NAME)
        finally:
            temporary.unlink(missing_ok=True)

    def load(self) -> MachineRecord | None:
        """The record, or None if there is no whole one: a creation that never got that far. Fields
        of another release are passed over. Raises OSError if it cannot be read: that is not the
        same as not being there."""
        try:
            data = (self.path / RECORD_NAME).read_bytes()
            return MachineRecord.model_validate_json(data, extra="ignore")
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)
