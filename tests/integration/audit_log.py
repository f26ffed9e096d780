"""What somebody reads of the audit log."""

from typing import Any

import httpx

from tests.integration.stack import Stack

LOG = "/v1/audit-log"


async def entries(stack: Stack, who: str = "super_admin", **wanted: Any) -> list[dict[str, Any]]:
    """What somebody reads of the log, newest first."""
    found: list[dict[str, Any]] = await stack.data_of(
        "GET", LOG, who, params={"limit": 200, **wanted}
    )
    return found


async def entry_for(stack: Stack, response: httpx.Response, who: str = "super_admin") -> Any:
    """The one entry of a request."""
    [entry] = await entries(stack, who, request_id=response.headers["x-request-id"])
    return entry
