"""The wrapping of every answer. Source: the product contract, §2."""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, Field

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
