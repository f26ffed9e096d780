"""Commands in a bunker. Source: the product contract, §5."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    model_validator,
)

from scaibunker.wire.api.bunkers import EnvMap

INLINE_LIMIT = 256 * 1024
"""Bytes of each stream that come inline; the rest is named by `full_output_ref`."""
PREVIEW_LIMIT = 1024
"""Bytes of output in the exec log."""
MAX_STDIN = 16 * 1024 * 1024
"""Bytes of standard input that a request may bring; more goes through a file."""
MAX_ARGUMENT = 128 * 1024 - 1
"""Bytes of one argument: the Linux kernel's own limit (MAX_ARG_STRLEN)."""

User = Literal["bunker", "root"]


def _argument(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    if len(value.encode()) > MAX_ARGUMENT:
        raise ValueError(f"at most {MAX_ARGUMENT} bytes; put longer scripts in a file")
    return value


Argument = Annotated[str, AfterValidator(_argument)]


def _form(value: object) -> str | None:
    if isinstance(value, str):
        return "[string]"
    return "[list]" if isinstance(value, list | tuple) else None


Command = Annotated[
    Annotated[Argument, Field(min_length=1), Tag("[string]")]
    | Annotated[list[Argument], Field(min_length=1, max_length=4096), Tag("[list]")],
    Discriminator(
        _form,
        custom_error_type="command_form",
        custom_error_message="must be a string or a list of strings",
    ),
]
"""What to run. Told apart by its type, so that an error speaks of the form that was given."""


class ExecRequest(BaseModel):
    """Body of `POST /bunkers/{id}/exec`. A string is run by `/bin/sh -c`, a list as it is."""

    model_config = ConfigDict(extra="forbid")

    command: Command
    timeout_s: Annotated[float, Field(strict=True, ge=1, le=86_400)] = 60
    env: EnvMap = Field(default_factory=dict)
    cwd: Annotated[Argument, Field(pattern=r"^/", max_length=4096)] | None = None
    user: User = "bunker"
    stdin: str | None = None
    stdin_base64: str | None = None
    stream: StrictBool = False
    detach: StrictBool = False

    @model_validator(mode="after")
    def _exclusive(self) -> Self:
        if self.stdin is not None and self.stdin_base64 is not None:
            raise ValueError("stdin and stdin_base64 exclude each other")
        if self.stream and self.detach:
            raise ValueError("stream and detach exclude each other; follow /events instead")
        return self


class ExecResult(BaseModel):
    """How a command ended, with the head of its output.

    `encoding` is `utf-8`, or `base64` for both streams when either is not UTF-8.
    `full_output_ref` names the whole output when a stream was longer than 256 KiB.
    """

    exec_id: str
    exit_code: int | None
    signal: str | None
    timed_out: bool
    duration_ms: int
    stdout: str
    stderr: str
    encoding: Literal["utf-8", "base64"]
    stdout_truncated: bool
    stderr_truncated: bool
    full_output_ref: str | None


class ExecRecord(BaseModel):
    """An entry of the exec log. `state` is `running`, `exited` or `lost` (its fate is unknown)."""

    exec_id: str
    bunker_id: str
    user_id: str
    command: str | list[str]
    user: User
    detach: bool
    state: Literal["running", "exited", "lost"]
    exit_code: int | None
    signal: str | None
    timed_out: bool
    started_at: datetime
    duration_ms: int | None
    output_preview: str
    full_output_ref: str | None
    error: str | None


def _signal_name(value: object) -> object:
    """`TERM` and `sigterm` mean `SIGTERM`, as for `kill`."""
    if not isinstance(value, str) or not value:
        return value
    name = value.upper()
    return name if name.startswith("SIG") else f"SIG{name}"


class SignalRequest(BaseModel):
    """Body of `POST .../execs/{exec_id}/signal`; the whole process group gets it. `TERM` means `SIGTERM`."""

    model_config = ConfigDict(extra="forbid")

    signal: Annotated[
        str,
        BeforeValidator(_signal_name),
        Field(pattern=r"^SIG[A-Z][A-Z0-9]{1,9}([+-][0-9]{1,2})?$"),
    ]


class StdinRequest(BaseModel):
    """Body of `POST .../execs/{exec_id}/stdin`, for a detached command. `eof` closes it."""

    model_config = ConfigDict(extra="forbid")

    data: str | None = None
    data_base64: str | None = None
    eof: StrictBool = False
