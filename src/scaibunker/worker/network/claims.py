"""Which slot numbers are taken on this host, and by whom: a folder that all its workers share.

A number is written down before anything of its slot is made, and struck out when nothing of it is left: so whatever is on
the host is somebody's. The folder does not survive the host, and neither does what is written down there.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from pydantic import BaseModel, ValidationError

from scaibunker.wire.codes import Code
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.naming import Names
from scaibunker.worker.network.ranges import Ranges

LOCK = "lock"
RANGES = "ranges-"


class Claim(BaseModel):
    """`machine`: whose slot it is; None while it is nobody's. `served`: by which sockets the gateway serves it. `v4`,
    `v6`: the ranges that its addresses are from. `mtu` in bytes. Fixed when it was taken: settings may be others by now."""

    worker: str
    machine: str | None = None
    served: str | None = None
    v4: IPv4Network
    v6: IPv6Network
    mtu: int

    @property
    def ranges(self) -> Ranges:
        return Ranges(self.v4, self.v6)


class _Ranges(BaseModel):
    v4: IPv4Network
    v6: IPv6Network


@dataclass
class Claims:
    """Of one worker. Its calls take turns with those of other workers, for microseconds; all raise WorkerFault where
    the folder cannot be used."""

    folder: Path
    worker: str
    ranges: Ranges
    _held: int | None = None
    _last: int = 0

    def open(self) -> None:
        """Say which ranges are used, for as long as this process lives or a number is taken. Raises WorkerFault if they
        cannot be shared with another worker's."""
        with self._locked():
            for path in self.folder.glob(f"{RANGES}*"):
                other = _ranges_of(path)
                if path.name == self._own_ranges or other is None:
                    continue
                if self._forgotten(path):
                    path.unlink(missing_ok=True)
                elif self.ranges.collide_with(other):
                    raise WorkerFault(
                        f"the transfer ranges {self.ranges.v4} and {self.ranges.v6} overlap those of another"
                        f" worker on this host, {other.v4} and {other.v6}"
                    )
            self._hold_ranges()
        self._last = secrets.randbelow(self.ranges.last)

    def close(self) -> None:
        """What is taken stays taken; where nothing is, no word of this worker is left. Idempotent."""
        if self.folder.exists():
            with contextlib.suppress(WorkerFault), self._locked():  # others forget us if we cannot
                if not self.mine():
                    (self.folder / self._own_ranges).unlink(missing_ok=True)
        self._let_go()

    def take(self, mtu: int) -> int:
        """A number that nobody had for long. Raises WorkerFault if there is none."""
        with self._locked():
            taken = set(self._numbers())
            for step in range(1, self.ranges.last + 1):
                number = (self._last + step - 1) % self.ranges.last + 1
                if number not in taken:
                    v4, v6 = self.ranges.v4, self.ranges.v6
                    self._write(number, Claim(worker=self.worker, v4=v4, v6=v6, mtu=mtu))
                    self._last = number
                    return number
        raise WorkerFault("all transfer addresses are taken", Code.WORKER_UNAVAILABLE)

    def assign(self, number: int, machine: str) -> None:
        """Write down whose the slot of a number is that this worker has taken."""
        self._amend(number, machine=machine)

    def serve(self, number: int, served: str) -> None:
        """Write down by which sockets it is served."""
        self._amend(number, served=served)

    def give_back(self, number: int) -> None:
        """Idempotent."""
        with self._faults():
            (self.folder / str(number)).unlink(missing_ok=True)

    def mine(self) -> dict[int, Claim]:
        """All that this worker has, whichever of its daemons took them."""
        with self._faults():
            return {
                number: claim
                for number, claim in ((n, self._read(n)) for n in self._numbers())
                if claim is not None and claim.worker == self.worker
            }

    def workers(self) -> set[str]:
        """All that have taken a number on this host."""
        with self._faults():
            claims = (self._read(number) for number in self._numbers())
            return {claim.worker for claim in claims if claim is not None}

    @property
    def in_use(self) -> bool:
        """Whether a process of this worker lives that has said which ranges it uses."""
        path = self.folder / self._own_ranges
        if not path.exists():
            return False
        with self._locked():
            return path.exists() and not _is_free(path)

    @property
    def _own_ranges(self) -> str:
        return f"{RANGES}{self._tag}"

    @property
    def _tag(self) -> str:
        return Names.of(self.worker).tag

    def _amend(self, number: int, **changes: str) -> None:
        with self._faults():
            claim = self._read(number)
            if claim is None:
                raise WorkerFault(f"nothing is written down of slot {number}")
            self._write(number, claim.model_copy(update=changes))

    def _numbers(self) -> list[int]:
        try:
            names = os.listdir(self.folder)  # noqa: PTH208 - names are meant
        except FileNotFoundError:
            return []
        return [int(name) for name in names if name.isdecimal() and name.isascii()]

    def _read(self, number: int) -> Claim | None:
        try:
            return Claim.model_validate_json((self.folder / str(number)).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _write(self, number: int, claim: Claim) -> None:
        temporary = self.folder / f".{self._tag}-{number}"
        temporary.write_text(claim.model_dump_json())
        temporary.rename(self.folder / str(number))

    def _hold_ranges(self) -> None:
        path = self.folder / self._own_ranges
        path.write_text(_Ranges(v4=self.ranges.v4, v6=self.ranges.v6).model_dump_json())
        self._let_go()
        self._held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _let_go(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _forgotten(self, path: Path) -> bool:
        """Whether no process lives that wrote it, and no number is taken by its worker."""
        if not _is_free(path):
            return False
        tag = path.name.removeprefix(RANGES)
        claims = (self._read(number) for number in self._numbers())
        return all(claim is None or Names.of(claim.worker).tag != tag for claim in claims)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._faults():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self.folder / LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WorkerFault(f"cannot keep account of slots in {self.folder}: {error}") from error


def _is_free(path: Path) -> bool:
    """Whether no living process has said that it uses these ranges."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _ranges_of(path: Path) -> Ranges | None:
    try:
        said = _Ranges.model_validate_json(path.read_bytes())
        return Ranges(said.v4, said.v6)
    except (FileNotFoundError, ValueError):
        return None
