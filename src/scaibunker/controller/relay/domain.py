"""An entry of the exec log: a command, and how it ended."""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from scaibunker.wire.api.execs import PREVIEW_LIMIT

MAX_LOGGED_COMMAND = 16 * 1024
"""Bytes of a command's JSON that the log keeps."""
_ELISION = " ... (cut)"
_ROOM = MAX_LOGGED_COMMAND // 12 - 16
"""Characters that fit whatever they are: JSON makes up to twelve bytes of one."""


class ExecState(StrEnum):
    """What is known of a command."""

    RUNNING = "running"
    EXITED = "exited"
    LOST = "lost"  # the connection broke: whether and how it ended is not known, or not yet


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended, as its guest agent reported it."""

    exit_code: int | None
    signal: str | None
    timed_out: bool
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Output:
    """What is known of the output: sizes, and the first bytes of each stream."""

    stdout_bytes: int = 0
    stderr_bytes: int = 0
    stdout_head: bytes = b""
    stderr_head: bytes = b""
    ref: str | None = None

    @classmethod
    def of(
        cls, stdout: bytes, stderr: bytes, sizes: tuple[int, int], ref: str | None = None
    ) -> "Output":
        """From the inline heads, of which the log keeps a part."""
        return cls(sizes[0], sizes[1], stdout[:PREVIEW_LIMIT], stderr[:PREVIEW_LIMIT], ref)


@dataclass(frozen=True, slots=True)
class ExecEntry:
    """One command. `deadline_at` is when it must have ended at the latest."""

    id: str
    bunker_id: str
    tenant_id: str
    user_id: str
    command: str | list[str]
    user: str
    detach: bool
    state: ExecState
    started_at: datetime
    deadline_at: datetime
    ending: Ending | None = None
    output: Output = Output()
    error: str | None = None


def loggable(command: str | list[str]) -> str | list[str]:
    """The command as the log keeps it: cut if it is very long."""
    if len(json.dumps(command)) <= MAX_LOGGED_COMMAND:
        return command
    if isinstance(command, str):
        return command[:_ROOM] + _ELISION
    kept: list[str] = []
    room = _ROOM
    for argument in command:
        kept.append(argument[:room])
        room -= len(argument) + 8
        if room <= 0:
            break
    return [*kept, _ELISION.strip()]
