"""How a command's end in a bunker becomes our own exit code."""

import re
import signal

from scaibunker.cli.exit_codes import SIGNAL_BASE, ExitCode
from scaibunker.cli.progress import notice
from scaibunker.sdk import ExecExited, ExecResult

_REAL_TIME = re.compile(r"SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?")


def exit_code(end: ExecExited | ExecResult) -> int:
    """The command's own code; 124 for a time-out, 128 + N for signal N, 125 for neither."""
    if end.timed_out:
        notice("the command was killed at its time-out")
        return ExitCode.COMMAND_TIMED_OUT
    if end.signal is not None:
        return SIGNAL_BASE + signal_number(end.signal)
    return ExitCode.NOT_RUN if end.exit_code is None else end.exit_code


def signal_number(name: str) -> int:
    """A signal's number; 0 for one that this system does not know."""
    if match := _REAL_TIME.fullmatch(name):
        base = signal.SIGRTMIN if match[1] == "MIN" else signal.SIGRTMAX
        return base + int(f"{match[2] or '+'}{match[3] or 0}")
    try:
        return signal.Signals[name].value
    except KeyError:
        return 0
