"""The audit log as the API shows it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel


class AuditEntry(BaseModel):
    """One request that changed something, or tried to.

    `tenant_id` is whose the resource is, else whose the actor is. `action` is the operation's id in
    the OpenAPI document, or `unknown_operation`. `details.folded` says that the entry stands for so
    many refusals of one source, of which it describes the last.
    """

    id: str
    at: datetime
    tenant_id: str | None
    actor_type: Literal["user", "service", "anonymous"]
    actor_id: str | None
    actor_name: str | None
    action: str
    method: str
    path: str
    resource_type: str | None
    resource_id: str | None
    outcome: Literal["success", "refused", "aborted", "failed"]
    status: int
    code: str | None
    address: str | None
    request_id: str
    details: dict[str, Any]
