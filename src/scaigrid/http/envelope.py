"""The wrapping of every answer."""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, Field
from starlette.responses import Response

T = TypeVar("T")


class Meta(BaseModel):
    """`request_id` is also the `X-Request-Id` header."""

    request_id: str


class Success(BaseModel, Generic[T]):
    """One thing."""

    status: Literal["ok"] = "ok"
    data: T
    meta: Meta


class Page(BaseModel, Generic[T]):
    """Some of many things, newest first unless the operation says otherwise."""

    status: Literal["ok"] = "ok"
    data: list[T]
    has_more: bool
    next_cursor: str | None = None
    meta: Meta


class Detail(BaseModel, extra="allow"):
    """What is wrong with one field. Some codes add keys of their own (`from`, `to`, ...)."""

    field: str | None = None
    message: str | None = None


class ErrorBody(BaseModel):
    """`message` says what happened, `hint` what the caller can do; clients branch on `code`."""

    code: str
    message: str
    hint: str | None = None
    details: list[Detail] = Field(default_factory=list)
    retry_after: float | None = None


class Failure(BaseModel):
    """Every answer with a status of 400 or more."""

    status: Literal["error"] = "error"
    error: ErrorBody
    meta: Meta


JSON = "application/json"


def success(data: BaseModel | None, request_id: str, status: int = 200) -> Response:
    """One thing in its envelope. The model was made by us, so it is not validated again."""
    body = "null" if data is None else data.model_dump_json()
    return Response(
        f'{{"status":"ok","data":{body},"meta":{{"request_id":"{request_id}"}}}}'.encode(),
        status,
        media_type=JSON,
    )


def page(items: list[BaseModel], next_cursor: str | None, request_id: str) -> Response:
    """Many things in their envelope."""
    data = ",".join(item.model_dump_json() for item in items)
    cursor = "null" if next_cursor is None else f'"{next_cursor}"'
    more = "false" if next_cursor is None else "true"
    return Response(
        f'{{"status":"ok","data":[{data}],"has_more":{more},"next_cursor":{cursor},'
        f'"meta":{{"request_id":"{request_id}"}}}}'.encode(),
        media_type=JSON,
    )
