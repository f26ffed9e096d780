"""Who may give what: nobody a role above its own, nor a permission that it does not hold."""

from collections.abc import Iterable

from scaigrid.errors import PermissionDenied, ValidationFailed
from scaigrid.operation import Caller
from scaigrid.permissions.domain import Permissions, may_manage


def check_role(caller: Caller, role: str) -> None:
    """Raise PermissionDenied if the caller may not give this role, or change a user who has it."""
    if not may_manage(caller.role, role):
        raise PermissionDenied(
            f"A {caller.role} cannot manage a {role}.", hint="Ask somebody of that role."
        )


def check_permissions(caller: Caller, permissions: Permissions, keys: Iterable[str]) -> None:
    """Raise unless the caller may give all these keys: ValidationFailed for one that no module
    declares or that is the platform's, PermissionDenied for one that it does not hold itself."""
    wanted = sorted(set(keys))
    if any(key not in permissions.all for key in wanted):
        raise ValidationFailed.of("permissions", "names a permission that does not exist")
    for key in wanted:
        caller.require(key)
    for key in wanted:
        if key not in permissions.grantable:
            raise ValidationFailed.of("permissions", f"{key} is for super-admins alone")
