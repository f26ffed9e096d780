"""Pages of a listing that is newest first.

A cursor names the last row that was given (its time and id), so that it stays good while rows are
added. It is opaque to callers.
"""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from sqlalchemy import Column, Select, and_, or_

from scaigrid.errors import ValidationFailed

T = TypeVar("T")
U = TypeVar("U")
DEFAULT_LIMIT = 50
MAX_LIMIT = 200
Position = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """Some of many things, and where the rest begins."""

    items: list[T]
    next_cursor: str | None = None

    def map(self, to: Callable[[T], U]) -> "Slice[U]":
        """The same page of something else."""
        return Slice([to(item) for item in self.items], self.next_cursor)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """How many things, and after which one."""

    limit: int = DEFAULT_LIMIT
    after: Position | None = None

    def slice(self, rows: Sequence[T], position: Callable[[T], Position]) -> Slice[T]:
        """The page from `rows`, of which one more than `limit` was asked for."""
        items = list(rows[: self.limit])
        return Slice(items, encode(position(items[-1])) if len(rows) > self.limit else None)


def newest_first(
    query: Select[Any], time: "Column[datetime]", key: "Column[str]", page: PageRequest
) -> Select[Any]:
    """The query for one page and one row more, which tells whether there is another page."""
    if page.after is not None:
        at, last = page.after
        query = query.where(or_(time < at, and_(time == at, key < last)))
    return query.order_by(time.desc(), key.desc()).limit(page.limit + 1)


def encode(position: Position) -> str:
    """A position as a cursor."""
    at, key = position
    return wrap(json.dumps([at.astimezone(UTC).isoformat(), key], separators=(",", ":")))


def decode(cursor: str) -> Position:
    """A cursor as a position. Raises ValidationFailed if it is none of ours."""
    try:
        at, key = json.loads(unwrap(cursor))
        if not isinstance(key, str) or not isinstance(at, str):
            raise ValueError
        time = datetime.fromisoformat(at)
        if time.tzinfo is None:
            raise ValueError
        key.encode()
    except (ValueError, TypeError, RecursionError):
        raise _foreign() from None
    return time, key


def wrap(text: str) -> str:
    """What a listing goes on from, as a cursor."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unwrap(cursor: str) -> str:
    """What was made into a cursor. Raises ValidationFailed if it is none."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise _foreign() from None


def _foreign() -> ValidationFailed:
    return ValidationFailed.of("cursor", "is not a cursor of this listing")


async def page_request(
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="Entries at most.")
    ] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None, Query(max_length=512, description="`next_cursor` of the page before.")
    ] = None,
) -> PageRequest:
    """The page that a request asks for. (What is not `async` the framework runs in a thread.)"""
    return PageRequest(limit, decode(cursor) if cursor else None)


Paged = Annotated[PageRequest, Depends(page_request)]
