"""One request to the API, described; sending it is the transport's.

What a caller puts into a path, a query or a body is checked here, so that an id like `..` or an empty
one can never turn one operation into another.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from scaibunker.sdk.errors import InvalidArgument
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api.envelope import Detail
from scaibunker.wire.api.flows import BATCH_NAME

QueryValue = str | int | float | bool | Sequence[str] | None
M = TypeVar("M", bound=BaseModel)
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_BATCH = re.compile(BATCH_NAME, re.ASCII)


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `path` begins with `/v1`; `read_timeout` seconds replaces the client's own.

    `repeatable`: acting on it twice does no harm, so that it may be sent again when its answer
    was lost. `idempotency_key` makes a POST so.
    """

    method: str
    path: str
    params: Mapping[str, QueryValue] = field(default_factory=dict)
    body: BaseModel | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    read_timeout: float | None = None
    repeatable: bool = False
    idempotency_key: str | None = None

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method in ("GET", "HEAD")

    def query(self) -> list[tuple[str, str]]:
        """The parameters that are given, as text; one that is a list is given several times."""
        return [
            (name, text)
            for name, value in self.params.items()
            if value is not None
            for text in _as_texts(value)
        ]

    def all_headers(self) -> dict[str, str]:
        """The request's own headers."""
        headers = dict(self.headers)
        if self.idempotency_key is not None:
            headers["Idempotency-Key"] = self.idempotency_key
        return headers


def get(path: str, /, **params: QueryValue) -> Call:
    """A read."""
    return Call("GET", path, params, repeatable=True)


def bunker_path(bunker_id: str, *rest: str) -> str:
    """Path of a bunker, or of something below it."""
    return module_path("bunkers", checked_id("bunker id", bunker_id), *rest)


def module_path(*parts: str) -> str:
    """Path of something of the module."""
    return "/".join((BASE_PATH, *parts))


def checked_id(what: str, value: str) -> str:
    """The id, if it can be part of a path."""
    if not _ID.fullmatch(value):
        raise InvalidArgument(f"{what}: 1-128 letters, digits, `_` or `-`; got {value!r}")
    return value


def checked_batch(name: str) -> str:
    """The name of a batch, if it is one."""
    if not _BATCH.fullmatch(name):
        raise InvalidArgument(f"batch: a name as the list of batches has it; got {name!r}")
    return name


def new_key() -> str:
    """An Idempotency-Key."""
    return uuid.uuid4().hex


def body(model: type[M], fields: Mapping[str, Any]) -> M:
    """The fields as a request body; what breaks a rule is named, but never shown."""
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        details = tuple(
            Detail(field=".".join(map(str, item["loc"])) or None, message=item["msg"])
            for item in error.errors(include_input=False, include_url=False)
        )
        first = details[0]
        raise InvalidArgument(
            f"{first.field}: {first.message}" if first.field else str(first.message),
            details=details,
        ) from None


def _as_texts(value: str | float | bool | Sequence[str]) -> Sequence[str]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [str(value)] if isinstance(value, str | int | float) else value
