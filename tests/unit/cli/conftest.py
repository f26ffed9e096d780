"""The command line before an API in memory."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from scaibunker.cli.main import main
from scaibunker.cli.surroundings import Surroundings
from scaibunker.sdk._sync.transport import Transport
from tests.unit.sdk.fake_api import FakeApi


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C works. A suite that was started in the background inherits that it does not, and the
    command line rightly keeps to that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@dataclass
class Outcome:
    """What a command line left: its exit code and what it printed."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def complaint(self) -> str:
        return self.err.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.err)["error"]
        return found


@dataclass
class Shell:
    """Runs command lines. `environ` and `stdin` are what they see."""

    api: FakeApi
    capture: pytest.CaptureFixture[bytes]
    environ: dict[str, str]
    stdin: int
    ends: list[int] = field(default_factory=list)

    def __call__(self, *argv: str) -> Outcome:
        surroundings = Surroundings(self.environ, self.stdin, self.api.transport)
        code = main(argv, surroundings)
        out, err = self.capture.readouterr()
        assert b"Traceback" not in err
        return Outcome(code, out, err)

    def pipe(self, content: bytes) -> None:
        """Let standard input be a pipe with this in it."""
        read, write = os.pipe()
        os.write(write, content)
        os.close(write)
        self.ends.append(read)
        self.stdin = read

    def file(self, path: Any, content: bytes) -> None:
        """Let standard input be a file."""
        path.write_bytes(content)
        self.stdin = os.open(path, os.O_RDONLY)
        self.ends.append(self.stdin)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def shell(
    api: FakeApi, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    defaults = Transport.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "sleep", lambda _: None)
    environ = {"SCAIGRID_HOST": "http://localhost", "SCAIGRID_API_KEY": "sgk_test"}
    nothing = os.open(os.devnull, os.O_RDONLY)
    made = Shell(api, capfdbinary, environ, nothing, [nothing])
    yield made
    for descriptor in made.ends:
        os.close(descriptor)
