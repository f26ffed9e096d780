"""Files of a guest, as the agent and the worker describe them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

FileType = Literal["file", "directory", "symlink", "fifo", "socket", "char_device", "block_device"]


class FileEntry(BaseModel):
    """One file. `mode` is octal text (`0644`), `size` bytes, `mtime` ISO 8601 UTC, `target` the text
    of a symbolic link and null for everything else."""

    name: str
    path: str
    type: FileType
    size: int
    mode: str
    uid: int
    gid: int
    mtime: str
    target: str | None = None


class FilePage(BaseModel):
    """A directory's entries, sorted by path. `next_after` continues the listing."""

    entries: list[FileEntry]
    has_more: bool = False
    next_after: str | None = None


class MkdirRequest(BaseModel):
    """Make a directory and its missing parents. Succeeds if it is already a directory."""

    model_config = ConfigDict(extra="forbid")

    path: str
    mode: str = "0755"
    user: Literal["bunker", "root"] = "bunker"


class MoveRequest(BaseModel):
    """Rename `source` to `destination`; with `overwrite` false an existing file is an error."""

    model_config = ConfigDict(extra="forbid")

    source: str
    destination: str
    overwrite: bool = True
    user: Literal["bunker", "root"] = "bunker"
