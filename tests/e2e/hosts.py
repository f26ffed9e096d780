"""Hosts of a network of the test's own: a namespace each, joined by a bridge; and how what a test
that was killed has left behind is found and removed.

A note under NOTES names the test's process and its folder; it is written before anything is made,
and removed after everything is. All else carries the note's name.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from scaibunker.worker.vmm.process import identify
from tests import leftovers

NOTES = Path("/run/scaibunker-test-fleets")
PREFIX = "sbf"
"""Names of interfaces have at most 15 characters: this, a pid and two more fit."""


class Host:
    """A namespace with one interface. `inside` is what a program's command line begins with there;
    the mounts stay the root namespace's, for control groups are below /sys."""

    def __init__(self, network: "HostNetwork", number: int) -> None:
        self.name = f"{network.name}h{number}"
        self.address = f"{network.subnet}.{10 + number}"
        self._outside = f"{network.name}v{number}"
        self.inside = ("nsenter", f"--net=/run/netns/{self.name}", "--")
        _ip("netns", "add", self.name)
        peer = ("peer", "name", "eth0", "netns", self.name)
        _ip("link", "add", self._outside, "type", "veth", *peer)
        _ip("link", "set", self._outside, "master", network.bridge, "up")
        for words in (
            ("addr", "add", f"{self.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", self.name, *words)

    def cut_off(self) -> None:
        """Pull its cable."""
        _ip("link", "set", self._outside, "down")

    def join(self) -> None:
        """Plug it in again."""
        _ip("link", "set", self._outside, "up")


class HostNetwork:
    """A bridge with an address of ours, `gateway`, and hosts on it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bridge = f"{name}b"
        self.subnet = _free_subnet()
        self.gateway = f"{self.subnet}.1"
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("addr", "add", f"{self.gateway}/24", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")

    def add_host(self, number: int) -> Host:
        """One more; numbers are 0 to 99."""
        return Host(self, number)


@contextlib.contextmanager
def host_network(folder: Path) -> Iterator[HostNetwork]:
    """A network that is gone afterwards. All processes of the test must have `folder` in their
    command line or environment, for the next test to find them if this one is killed."""
    remove_leftovers()
    own = identify(os.getpid())
    assert own is not None
    name = f"{PREFIX}{own.pid}"
    NOTES.mkdir(mode=0o700, exist_ok=True)
    note = NOTES / name
    note.write_text(json.dumps([own.pid, own.start_ticks, own.boot_id, str(folder)]))
    try:
        yield HostNetwork(name)
    finally:
        _take_down(note)


def remove_leftovers() -> None:
    """What tests have left that were killed."""
    for note in NOTES.glob(f"{PREFIX}*") if NOTES.exists() else ():
        try:
            pid, start_ticks, boot, _ = json.loads(note.read_text())
        except ValueError:  # killed while it wrote, so that nothing was made yet
            note.unlink(missing_ok=True)
            continue
        owner = identify(pid)
        if owner is None or (owner.start_ticks, owner.boot_id) != (start_ticks, boot):
            _take_down(note)


def processes(folder: Path) -> list[int]:
    """Everything that was started for this folder, the VMMs included; never this process."""
    found = []
    needle = os.fsencode(folder) + b"/"
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if needle in told and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def control_groups(folder: Path) -> list[Path]:
    """Of all workers with their data below `folder`, the innermost first."""
    return [group for worker in _workers(folder) for group in leftovers.control_groups(worker)]


def run_folder(network: HostNetwork) -> Path:
    """Where the sockets of its hosts' machines belong."""
    return Path("/run") / network.name


def _take_down(note: Path) -> None:
    folder = Path(json.loads(note.read_text())[3])
    for pid in processes(folder):
        with contextlib.suppress(ProcessLookupError):
            _kill(pid)
    for worker_id in _workers(folder):
        leftovers.remove_control_groups(worker_id)
    shutil.rmtree(Path("/run") / note.name, ignore_errors=True)
    for namespace in Path("/run/netns").glob(f"{note.name}h*"):
        _ip("netns", "delete", namespace.name)  # and the cable with it
    with contextlib.suppress(subprocess.CalledProcessError):  # it was not made yet
        _ip("link", "delete", f"{note.name}b")
    note.unlink(missing_ok=True)


def _workers(folder: Path) -> set[str]:
    return {file.read_text() for file in folder.glob("*/worker-id")}


def _kill(pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # a child only if this test started it
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    finally:
        os.close(pidfd)


def _free_subnet() -> str:
    """The first three numbers of a /24 that no interface of this host has."""
    taken = _ip("-4", "-o", "addr", "show")
    for number in range(1, 255):
        subnet = f"10.213.{(os.getpid() + number) % 254 + 1}"
        if f" {subnet}." not in taken:
            return subnet
    raise AssertionError("no free network in 10.213.0.0/16")


def _ip(*words: str) -> str:
    command: Sequence[str] = ("ip", *words)
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
