"""Starting a command in the guest. Used from controller to worker and from worker to agent alike.

The request body is one line of JSON (`ExecStart`), a newline, then standard input as raw
bytes until the body ends. The response is a stream of `frames`.
"""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from scaibunker.wire.bounds import Count
from scaibunker.wire.guest.network import GuestNetwork

MAX_START_LINE = 4 * 1024 * 1024
"""Bytes of the JSON line at most."""

EXEC_ID = re.compile(r"exe_[A-Za-z0-9]{4,40}\Z")
"""Ids become names of files: nothing else is let in, whoever says it."""

REPLAY_WINDOW = 256 * 1024
"""Bytes of frames that the agent keeps per command for a worker that comes back, and the
HTTP/2 flow-control window of an output stream: what the worker has not acknowledged is always
still there. An agent whose window is full stops reading the command's pipes."""


class ExecStart(BaseModel):
    """The JSON line that starts a command.

    `argv` is run as it is; `shell` by `/bin/sh -c`; exactly one is given. `stdin`: `none` is
    /dev/null, `body` is the rest of the request body and then end of file, `open` stays open for
    later `stdin` requests.
    """

    model_config = ConfigDict(extra="forbid")

    argv: list[str] | None = None
    shell: str | None = None
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str | None = None
    user: Literal["bunker", "root"] = "bunker"
    timeout_s: float
    stdin: Literal["none", "body", "open"] = "none"


class ExecExit(BaseModel):
    """How a command ended; the payload of an EXIT frame."""

    exit_code: Annotated[int, Field(strict=True, ge=0, le=255)] | None
    signal: Annotated[str, StringConstraints(pattern=r"^SIG[A-Z0-9+-]{1,16}$")] | None
    timed_out: StrictBool
    duration_ms: Count


class GuestExec(BaseModel):
    """A command that the agent knows. `frames_start` and `frames_end` are the byte offsets in its
    stream of frames that can still be asked for."""

    exec_id: str
    running: bool
    pid: int
    frames_start: int
    frames_end: int
    exit: ExecExit | None = None


class GuestHealth(BaseModel):
    """The agent's answer to `GET /v1/health`."""

    protocol: int
    agent_version: str
    boot_id: str
    kernel: str
    uptime_s: float
    time_unix_ns: int


class GuestIdentity(BaseModel):
    """Body of `PUT /v1/identity`: everything that makes this machine this bunker.

    Applied before the first command runs, after a boot and after a restore alike; it ends a hold.
    `env` is part of the environment of every command; `entropy_base64` is mixed into the kernel's
    pool. What follows is not said to an agent that need not hear it: one that was started by an
    older release would refuse it. `generation` names this life of the machine's memory, for programs
    to see; `token_hex` opens the channel from the next session on; `disown_execs` says that
    commands from before are another bunker's; `disk_mb` is the size of the writable disk from now on,
    which the agent waits for, and has the file system fill; `network` is what its interfaces are to be, and
    None for a machine without any.
    """

    hostname: str
    time_unix_ns: int
    entropy_base64: str
    env: dict[str, str] = Field(default_factory=dict)
    generation: str = ""
    token_hex: str = ""
    disown_execs: bool = False
    disk_mb: int = 0
    network: GuestNetwork | None = None


class HoldRequest(BaseModel):
    """Body of `PUT /v1/hold`: the processes of commands stop where they are, everything written
    reaches the disk, and with `freeze_disk` it takes nothing more; for `limit_s` of the guest's own
    seconds at most."""

    freeze_disk: bool
    limit_s: float


class HoldAnswer(BaseModel):
    """`still`: all processes stand. One that waits in the kernel may not."""

    still: bool
