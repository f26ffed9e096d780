"""`scaibunker dev` that cannot start, or is told to stop before it has."""

import os
import signal
import subprocess
from pathlib import Path

from tests.e2e.stack import BIN, START_LIMIT_S, DevStack
from tests.waiting import wait_until


def begun(stack: DevStack, data_dir: Path) -> subprocess.Popen[str]:
    """In a process group of its own, as a shell does it."""
    command = [str(BIN / "scaibunker"), "dev", "--data-dir", str(data_dir)]
    return subprocess.Popen(
        [*command, "--port", str(stack.port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_folder_that_cannot_be_used_is_said(private_stack: DevStack, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    out, err = (process := begun(private_stack, file)).communicate(timeout=START_LIMIT_S)
    assert (process.returncode, out) == (1, "")
    assert err.startswith(f"scaibunker dev: cannot keep anything in {file}: ")
    assert "Traceback" not in err


def test_ctrl_c_while_it_starts(private_stack: DevStack) -> None:
    process = begun(private_stack, private_stack.data_dir)
    try:
        worker = private_stack.data_dir / "worker" / "worker-id"
        wait_until(worker.exists, START_LIMIT_S, lambda: "the worker's start")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=START_LIMIT_S)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert out in ("", f"ready {private_stack.url}\n")  # it may have been that quick
    assert "Traceback" not in err
    assert private_stack.pids() == []
    assert private_stack.slots() == []
