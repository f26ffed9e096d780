"""Quota profiles as callers make and assign them."""

from typing import Any

from tests.integration.stack import Stack

PATH = "/quota-profiles"


async def made(stack: Stack, who: str = "tenant_admin", **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = await stack.data_of("POST", PATH, who, json={"name": "small", **body})
    return found


async def assigned(
    stack: Stack, profile: dict[str, Any], who: str = "tenant_admin", **body: Any
) -> dict[str, Any]:
    path = f"{PATH}/{profile['id']}/assignments"
    found: dict[str, Any] = await stack.data_of("POST", path, who, json=body)
    return found


async def me(stack: Stack, who: str = "user") -> dict[str, Any]:
    found: dict[str, Any] = await stack.data_of("GET", "/v1/me", who)
    return found
