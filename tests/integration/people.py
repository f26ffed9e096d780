"""Tenants, users and keys for tests, made over HTTP as an operator would."""

from typing import Any

from tests.integration.stack import Stack


async def tenant(stack: Stack, name: str, who: str = "super_admin", **more: Any) -> str:
    """The id of a new tenant."""
    made = await stack.data_of("POST", "/v1/tenants", who, json={"name": name, **more})
    return str(made["id"])


async def user(
    stack: Stack, name: str, role: str = "tenant_user", who: str = "super_admin", **more: Any
) -> str:
    """The id of a new user, whose key the stack has under the user's name."""
    made = await stack.data_of("POST", "/v1/users", who, json={"name": name, "role": role, **more})
    await key(stack, name, made["id"], who)
    return str(made["id"])


async def key(stack: Stack, name: str, user_id: str, who: str = "super_admin") -> str:
    """The id of a new key for a user; the stack has it under that name."""
    made = await stack.data_of(
        "POST", "/v1/api-keys", who, json={"name": "test", "user_id": user_id}
    )
    stack.keys = {**stack.keys, name: made["key"]}
    return str(made["id"])


async def id_of(stack: Stack, who: str) -> str:
    """The user id of one of the stack's identities."""
    return str((await stack.data_of("GET", "/v1/me", who))["user_id"])


async def tenant_of(stack: Stack, who: str) -> str:
    """The tenant id of one of the stack's identities."""
    return str((await stack.data_of("GET", "/v1/me", who))["tenant_id"])


async def held(stack: Stack, who: str) -> set[str]:
    """The permissions of one of the stack's identities."""
    return set((await stack.data_of("GET", "/v1/me", who))["permissions"])
