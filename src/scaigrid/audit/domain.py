"""An entry of the audit log, and what of a request may be in it.

Never a body, a query, a header or an answer; what is taken from a request's path is cut to size, and
what looks like a secret in it is hidden.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any

from scaigrid.redaction import hide

MAX_PATH = 1024
MAX_RESOURCE_ID = 255
MAX_NAME = 128
MAX_CODE = 64
MAX_DETAILS = 16
MAX_DETAIL = 256
"""Characters of one value among the details."""
ABORTED = "REQUEST_ABORTED"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class ActorType(StrEnum):
    """What sort of caller it was."""

    USER = "user"
    SERVICE = "service"  # a part of the system, by its service token
    ANONYMOUS = "anonymous"  # nobody was proven: the credential is missing or no good


class Outcome(StrEnum):
    """How a request ended."""

    SUCCESS = "success"
    REFUSED = "refused"  # 4xx: nothing was changed
    ABORTED = "aborted"  # the caller went away before the end: it may have been done
    FAILED = "failed"  # 5xx: the error's code says whether it may have been done


@dataclass(frozen=True, slots=True)
class Actor:
    """Who it was."""

    type: ActorType
    id: str | None = None
    name: str | None = None


NOBODY = Actor(ActorType.ANONYMOUS)


@dataclass(frozen=True, slots=True)
class Entry:
    """One request, or many refusals of one sort (`folding`)."""

    id: str
    at: datetime
    tenant_id: str | None
    actor: Actor
    action: str
    method: str
    path: str
    resource_type: str | None
    resource_id: str | None
    outcome: Outcome
    status: int
    code: str | None
    address: str | None
    request_id: str
    details: dict[str, Any] = field(default_factory=dict)


def outcome_of(status: int, code: str | None) -> Outcome:
    """What a status and an error code mean."""
    if code == ABORTED:
        return Outcome.ABORTED
    if status < 400:
        return Outcome.SUCCESS
    return Outcome.REFUSED if status < 500 else Outcome.FAILED


def entry_id(request_id: str) -> str:
    """The id of a request's entry: there is one at most, and it is found by the request's id."""
    return "aud_" + request_id.rpartition("_")[2]


def resource_of(template: str, values: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Type and id of what a route's path names: its last parameter and the collection that is in.

    A path without parameters names a collection, whose member has no id yet.
    """
    segments = template.strip("/").split("/")
    found: tuple[str | None, str | None] = (_singular(segments[-1]), None)
    for collection, segment in pairwise(segments):
        if segment.startswith("{"):
            name = segment.strip("{}").partition(":")[0]
            value = values.get(name)
            shown = None if value is None else bounded(str(value), MAX_RESOURCE_ID)
            found = (_singular(collection), shown)
    return found


def bounded(text: str, limit: int) -> str:
    """Text from outside, fit to be kept: one line, no longer than that, no secret in it."""
    text = hide(_CONTROL.sub("\ufffd", text[: limit * 4]))
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"


def bounded_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """An endpoint's notes: so many, so long, and nothing nested."""
    return {
        bounded(str(name), MAX_CODE): _plain(value)
        for name, value in list(details.items())[:MAX_DETAILS]
    }


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return bounded(str(value), MAX_DETAIL)


def _singular(collection: str) -> str:
    name = collection.replace("-", "_")
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name.removesuffix("s")
