"""Tools of the host, run with bounds."""

import os
import sys
import time

import pytest

from scaibunker.worker.network.registries import host_view
from scaibunker.worker.network.registries.host_view import run_tool, this_host

ENV = {"PATH": os.environ["PATH"]}


def python(code: str) -> str | None:
    return run_tool([sys.executable, "-I", "-c", code], ENV)


def test_what_a_tool_says() -> None:
    assert python("print('https://x.registry.test')") == "https://x.registry.test\n"


def test_a_tool_that_fails_says_nothing() -> None:
    assert python("import os; print('x', flush=True); os._exit(1)") is None
    assert run_tool(["no-such-tool-here"], ENV) is None


def test_one_that_says_too_much_says_nothing() -> None:
    assert python("import sys\nwhile True: sys.stdout.write('x' * 65536)") is None


def test_one_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_view, "TOOL_TIMEOUT_S", 0.3)
    began = time.monotonic()
    assert python("import time; time.sleep(600)") is None
    assert time.monotonic() - began < 60


def test_it_has_nothing_to_read_and_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert python("import sys; print(repr(sys.stdin.read()))") == "''\n"
    monkeypatch.setenv("SCAIBUNKER_WORKER_TOKEN", "hunter2")
    assert "hunter2" not in repr(this_host())


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own takes root")
def test_it_has_no_network() -> None:
    devices = python("import socket; print([name for _, name in socket.if_nameindex()])")
    assert devices == "['lo']\n"
