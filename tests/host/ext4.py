"""Images read with e2fsprogs."""

import subprocess
from pathlib import Path


def debugfs(image: Path, command: str) -> str:
    """What debugfs prints, its errors included."""
    done = subprocess.run(
        ["/usr/sbin/debugfs", "-R", command, image],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout + done.stderr.partition("\n")[2]  # without the program's own version


def names(image: Path, directory: str) -> list[str]:
    """The entries of a directory, in the order they lie there."""
    lines = debugfs(image, f"ls -p {directory}").splitlines()
    found = [line.split("/")[5] for line in lines if line.startswith("/")]
    return [name for name in found if name not in {"", ".", ".."}]


def assert_sound(image: Path, within_s: float = 60) -> None:
    """The checker finds nothing to complain about."""
    check = subprocess.run(
        ["/usr/sbin/e2fsck", "-fn", image],
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    assert check.returncode == 0, check.stdout
