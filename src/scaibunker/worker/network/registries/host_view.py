"""What package clients are read from: files of the host, the environment, and the clients' own tools.

Nothing is asked of the network: tools run without one where the daemon may take it from them.
"""

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MAX_FILE_BYTES = 1024 * 1024
MAX_OUTPUT_BYTES = 64 * 1024
TOOL_TIMEOUT_S = 10.0
_OURS = "SCAIBUNKER"
"""Variables of this beginning hold secrets, which are no client's business."""


@dataclass(frozen=True, slots=True)
class Named:
    """`url` as a client has it, credentials and all: it is not to be shown. `source`: which file or tool said so."""

    url: str
    source: str


class Client(Protocol):
    """One package client: every URL that it would ask for packages, or bare host."""

    def __call__(self, host: "HostView") -> Iterable[Named]: ...


Run = Callable[[Sequence[str]], str | None]
"""Standard output of a tool; None if it is not there, fails, or takes too long."""


@dataclass(frozen=True, slots=True)
class HostView:
    """`root` is what paths of the system are under, `home` the daemon's user's own; `packages`: folders of Python
    packages beside the system's."""

    root: Path
    home: Path
    env: Mapping[str, str]
    packages: Sequence[Path]
    run: Run

    def text(self, path: Path) -> str | None:
        """A file of the host; None if it is not there, no file, or too long."""
        try:
            if not path.is_file():
                return None
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError:
            return None
        return content.decode(errors="replace") if len(content) <= MAX_FILE_BYTES else None

    def system(self, *patterns: str) -> Iterator[Path]:
        """Files of the system that match patterns of paths, in order; `/etc/apt/sources.list.d/*.list`."""
        for pattern in patterns:
            yield from sorted(self.root.glob(pattern.lstrip("/")))

    def python_file(self, path: str) -> Iterator[Path]:
        """A file of a Python package, wherever the package is installed."""
        yield from (folder / path for folder in self.packages if (folder / path).is_file())
        folders = ("usr/lib/python3*", "usr/local/lib/python3*")
        kinds = ("dist-packages", "site-packages")
        yield from self.system(*(f"{folder}/{kind}/{path}" for folder in folders for kind in kinds))


def this_host() -> HostView:
    """The one that the daemon runs on."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    packages = tuple(Path(folder) for folder in sys.path if folder)
    return HostView(Path("/"), Path.home(), env, packages, lambda argv: run_tool(argv, env))


def run_tool(argv: Sequence[str], env: Mapping[str, str]) -> str | None:
    """Run a tool of the host, in a session and (as root) a network of its own."""
    path = shutil.which(argv[0], path=env.get("PATH"))
    if path is None:
        return None
    alone = shutil.which("unshare") if os.geteuid() == 0 else None
    try:
        process = subprocess.Popen(
            [*([alone, "--net", "--"] if alone else []), path, *argv[1:]],
            cwd="/",
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None
    with process:
        ends = time.monotonic() + TOOL_TIMEOUT_S
        output = _read(process, ends)
        try:
            ended = process.wait(max(0.0, ends - time.monotonic())) if output is not None else None
        except subprocess.TimeoutExpired:
            ended = None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what it may have left behind, too
    return output if ended == 0 else None


def _read(process: "subprocess.Popen[bytes]", ends: float) -> str | None:
    """All that it writes; None if that is too much, or it does not end in time."""
    if process.stdout is None:
        return None
    output = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(output) <= MAX_OUTPUT_BYTES:
            left = ends - time.monotonic()
            if left <= 0 or not selector.select(left):
                return None
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                return output.decode(errors="replace")
            output += chunk
    return None
