"""Results on stdout: JSON for programs, tables for people."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scaibunker.cli import texts

R = TypeVar("R", bound=BaseModel)


class Made(Protocol):
    """A record of something that has an id of its own."""

    @property
    def id(self) -> str: ...

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


Column = tuple[str, Callable[[R], object]]
_WIDE = 10_000  # of a file or pipe: nothing is cut that a script could want


def write_json(value: object) -> None:
    """One value, ASCII only: safe on a terminal, too."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def as_json(record: BaseModel) -> dict[str, Any]:
    """A record as JSON has it."""
    return record.model_dump(mode="json")


def write_made(made: Made, *, in_json: bool) -> None:
    """What a command has made or changed: its id, for the next command, or all of it."""
    if in_json:
        write_json(made.model_dump(mode="json"))
    else:
        typer.echo(made.id)


def write_record(record: BaseModel, *, in_json: bool) -> None:
    """All of a record."""
    if in_json:
        write_json(as_json(record))
    else:
        write_fields(as_json(record))


def write_records(columns: Sequence[Column[R]], records: Iterable[R], *, in_json: bool) -> None:
    """A list of records: one line each, or as one JSON value."""
    if in_json:
        write_json([as_json(record) for record in records])
        return
    rows = ([value(record) for _, value in columns] for record in records)
    write_rows([title for title, _ in columns], rows)


def write_rows(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """One line per row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, no_wrap=not sys.stdout.isatty(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(texts.cell(value)) for value in row))
    _console().print(table)


def write_fields(fields: Mapping[str, object]) -> None:
    """One line per field."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(Text(name), Text(texts.cell(value)))
    _console().print(table)


def _console() -> Console:
    wide = None if sys.stdout.isatty() else _WIDE
    return Console(file=sys.stdout, width=wide, highlight=False, markup=False, emoji=False)
