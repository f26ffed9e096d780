"""Signs of life on stderr for what may take more than a second; only on a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from scaibunker.cli import texts
from scaibunker.sdk import Progress, Snapshot, SnapshotProgress


def notice(text: str) -> None:
    """One line for the person at the terminal, or in the log."""
    sys.stderr.write(f"scaibunker: {texts.lines(text)}\n")
    sys.stderr.flush()


@contextmanager
def working(text: str) -> Iterator[None]:
    """A spinner while something is being done."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(Text(texts.cell(text))):
        yield


def nothing(path: str, done: int, size: int | None) -> None:
    """No sign at all."""


@contextmanager
def transfer() -> Iterator[Progress]:
    """A line with the file that is being copied, how much of it, and how fast."""
    if not sys.stderr.isatty():
        yield nothing
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        current = ""

        def show(path: str, done: int, size: int | None) -> None:
            nonlocal current
            if path != current:
                current = path
                bar.reset(task)
            bar.update(task, description=texts.cell(path), completed=done, total=size)

        yield show


@contextmanager
def snapshotting() -> Iterator[SnapshotProgress]:
    """A bar for a snapshot that is being made, and what is being done with it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def show(snapshot: Snapshot) -> None:
            doing = f"{snapshot.phase or snapshot.status} {snapshot.id}"
            bar.update(task, description=texts.cell(doing), completed=snapshot.progress)

        yield show
