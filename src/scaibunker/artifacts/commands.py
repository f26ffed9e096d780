"""Run the host's tools: fixed argument lists, a time limit each, and errors that say what to do."""

import os
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from scaibunker.artifacts.records import ArtifactsError

_TAIL = 2000


class CommandError(ArtifactsError):
    """A tool failed; the message holds its name and the end of what it said."""


def need(tool: str, package: str) -> str:
    """Return the path of `tool`, or say which Debian package has it."""
    # The administrator's tools are not on every user's PATH.
    found = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")
    if found is None:
        msg = f"{tool} is not installed: run `make setup`, or `apt-get install {package}` as root"
        raise ArtifactsError(msg)
    return found


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    inherit: Collection[str] | None = None,
) -> str:
    """Run `argv` without standard input and return its standard output.

    `env` is added to this process's environment, or to that part of it which `inherit` names.
    Raises `CommandError` on a status other than 0
    and after `timeout_s` seconds.
    """
    name = Path(argv[0]).name
    inherited = {k: v for k, v in os.environ.items() if inherit is None or k in inherit}
    try:
        done = subprocess.run(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            cwd=cwd,
            env={**inherited, "LC_ALL": "C.UTF-8", **(env or {})},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{name} did not finish within {timeout_s:.0f} s"
        raise CommandError(msg) from error
    except OSError as error:
        msg = f"{name} cannot be run: {error.strerror}"
        raise CommandError(msg) from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-_TAIL:]
        msg = f"{name} failed with status {done.returncode}: {said}"
        raise CommandError(msg)
    return done.stdout
