"""Exit codes, for scripts. The reference page is generated from here.

`run`, `exec` and `bunker attach` end with the command's own code. So that it can never be confused
with one of ours, everything that goes wrong on our side of them is NOT_RUN.
"""

from collections.abc import Mapping
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process ends with."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    CONFLICT = 5
    UNAVAILABLE = 6
    CONNECTION = 7
    LIMIT = 8
    WAIT_TIMED_OUT = 9
    COMMAND_TIMED_OUT = 124
    NOT_RUN = 125


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.FAILURE: "a failure that has no number of its own; something was left out of a copy",
    ExitCode.USAGE: "the arguments, the profile or a value in the request are not valid, or no endpoint or no key is given",
    ExitCode.NOT_FOUND: "there is no such bunker, image, snapshot, worker, quota profile, command or file, or it is "
    "not yours",
    ExitCode.DENIED: "the key is wrong or expired, or lacks the permission",
    ExitCode.CONFLICT: "its state does not allow it: not running, name taken, a directory in the way",
    ExitCode.UNAVAILABLE: "no worker has room, a worker does not answer, or the server failed",
    ExitCode.CONNECTION: "the server cannot be reached, or a stream broke off",
    ExitCode.LIMIT: "a quota, a rate limit, a size limit, or the bunker's disk is used up",
    ExitCode.WAIT_TIMED_OUT: "what was waited for did not happen in time, or the bunker or snapshot failed",
    ExitCode.COMMAND_TIMED_OUT: "`run`, `exec`, `attach`: the command was killed at its time-out",
    ExitCode.NOT_RUN: "`run`, `exec`, `attach`: the command could not be run, or how it ended is not "
    "known",
}
SIGNAL_BASE = 128
"""A command ended by signal N, and a command line interrupted by it, give 128 + N."""
