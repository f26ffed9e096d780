"""`/v1/iam/custom-roles`: permission keys under a name, and who has them."""

from dataclasses import asdict
from typing import Annotated

from fastapi import Query

from scaigrid.groups import models as groups
from scaigrid.groups.errors import GroupNotFound
from scaigrid.groups.resources import GROUP
from scaigrid.groups.routes import view as group_view
from scaigrid.http.access import ADMINS
from scaigrid.http.paging import Paged, Slice
from scaigrid.http.resources import Place, Reach, Relation, Resource
from scaigrid.http.routes import Op, Routes, many, one
from scaigrid.permissions import models
from scaigrid.permissions.domain import CustomRole
from scaigrid.permissions.errors import CustomRoleNotFound
from scaigrid.permissions.service import CustomRoles
from scaigrid.permissions.users import PermissionsOfUsers
from scaigrid.tenancy import models as tenancy
from scaigrid.tenancy.errors import NameConflict, TenantNotFound, UserNotFound
from scaigrid.tenancy.resources import TENANT, USER
from scaigrid.tenancy.routes import user_view

PATH = "/v1/iam/custom-roles"
_ROLE = "/{role_id}"
CUSTOM_ROLE = Resource(
    "role_id",
    Reach.ADMINISTERED,
    CustomRoleNotFound,
    (Relation.SAME_TENANT, Relation.SAME_PARTNER, Relation.FOREIGN),
)


class CustomRoleEndpoints:
    """Custom roles, for administrators."""

    def __init__(self, roles: CustomRoles) -> None:
        self._roles = roles

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes(PATH, "custom roles", CUSTOM_ROLE, USER, GROUP)
        role = one(models.CustomRole)
        routes.add(
            "GET", "", self.list_custom_roles, access=ADMINS, answers=many(models.CustomRole)
        )
        routes.add(
            "POST",
            "",
            self.create_custom_role,
            access=ADMINS,
            answers=one(models.CustomRole, 201, "The custom role."),
            errors=[TenantNotFound, NameConflict],
            names=[TENANT.at(Place.BODY)],
        )
        routes.add(
            "GET",
            _ROLE,
            self.get_custom_role,
            access=ADMINS,
            answers=role,
            errors=[CustomRoleNotFound],
        )
        routes.add(
            "PATCH",
            _ROLE,
            self.change_custom_role,
            access=ADMINS,
            answers=role,
            errors=[CustomRoleNotFound, NameConflict],
        )
        routes.add(
            "DELETE",
            _ROLE,
            self.delete_custom_role,
            access=ADMINS,
            answers=role,
            errors=[CustomRoleNotFound],
        )
        self._add_assignments(routes)
        return routes

    def _add_assignments(self, routes: Routes) -> None:
        assignment = one(models.Assignment)
        routes.add(
            "GET",
            "/{role_id}/members",
            self.list_custom_role_members,
            access=ADMINS,
            answers=many(tenancy.User, "Users, the newest first."),
            errors=[CustomRoleNotFound],
        )
        routes.add(
            "GET",
            "/{role_id}/groups",
            self.list_custom_role_groups,
            access=ADMINS,
            answers=many(groups.Group, "Groups, the newest first."),
            errors=[CustomRoleNotFound],
        )
        user, group = "/{role_id}/members/{user_id}", "/{role_id}/groups/{group_id}"
        of_users = (CustomRoleNotFound, UserNotFound)
        of_groups = (CustomRoleNotFound, GroupNotFound)
        give, take = self.give_custom_role_to_user, self.take_custom_role_from_user
        routes.add("PUT", user, give, access=ADMINS, answers=assignment, errors=of_users)
        routes.add("DELETE", user, take, access=ADMINS, answers=assignment, errors=of_users)
        to, from_ = self.give_custom_role_to_group, self.take_custom_role_from_group
        routes.add("PUT", group, to, access=ADMINS, answers=assignment, errors=of_groups)
        routes.add("DELETE", group, from_, access=ADMINS, answers=assignment, errors=of_groups)

    async def list_custom_roles(
        self,
        op: Op,
        page: Paged,
        tenant_id: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Slice[models.CustomRole]:
        """List custom roles."""
        return (await self._roles.listing(op, page, tenant_id)).map(_view)

    async def create_custom_role(self, op: Op, body: models.CustomRoleCreate) -> models.CustomRole:
        """Make a custom role. It cannot carry a platform key, nor one that the caller lacks."""
        made = await self._roles.create(op, body.name, body.permissions, body.tenant_id)
        return _view(made)

    async def get_custom_role(self, op: Op, role_id: str) -> models.CustomRole:
        """Read a custom role."""
        return _view(await self._roles.get(op, role_id))

    async def change_custom_role(
        self, op: Op, role_id: str, body: models.CustomRoleChange
    ) -> models.CustomRole:
        """Rename a custom role, or change what it carries: for all who have it, at once."""
        values = body.model_dump(exclude_none=True)
        return _view(await self._roles.change(op, role_id, values))

    async def delete_custom_role(self, op: Op, role_id: str) -> models.CustomRole:
        """Take a custom role from everyone who has it, and delete it."""
        return _view(await self._roles.delete(op, role_id))

    async def list_custom_role_members(
        self, op: Op, role_id: str, page: Paged
    ) -> Slice[tenancy.User]:
        """List the users who have a custom role by themselves, not through a group."""
        return (await self._roles.members(op, role_id, page)).map(user_view)

    async def list_custom_role_groups(
        self, op: Op, role_id: str, page: Paged
    ) -> Slice[groups.Group]:
        """List the groups that have a custom role."""
        return (await self._roles.groups(op, role_id, page)).map(group_view)

    async def give_custom_role_to_user(
        self, op: Op, role_id: str, user_id: str
    ) -> models.Assignment:
        """Give a custom role to a user of its tenant. Doing it twice changes nothing."""
        return _of_user(op, await self._roles.assign_user(op, role_id, user_id, has=True), user_id)

    async def take_custom_role_from_user(
        self, op: Op, role_id: str, user_id: str
    ) -> models.Assignment:
        """Take a custom role from a user. Doing it twice changes nothing."""
        return _of_user(op, await self._roles.assign_user(op, role_id, user_id, has=False), user_id)

    async def give_custom_role_to_group(
        self, op: Op, role_id: str, group_id: str
    ) -> models.Assignment:
        """Give a custom role to a group of its tenant: to everyone in it and in the groups below
        it. Doing it twice changes nothing."""
        role = await self._roles.assign_group(op, role_id, group_id, has=True)
        return _of_group(op, role, group_id)

    async def take_custom_role_from_group(
        self, op: Op, role_id: str, group_id: str
    ) -> models.Assignment:
        """Take a custom role from a group. Doing it twice changes nothing."""
        role = await self._roles.assign_group(op, role_id, group_id, has=False)
        return _of_group(op, role, group_id)


class UserPermissionEndpoints:
    """The permissions of single users, for administrators."""

    def __init__(self, permissions: PermissionsOfUsers) -> None:
        self._permissions = permissions

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes("/v1/users", "users", USER)
        for method, endpoint in (
            ("GET", self.get_user_permissions),
            ("PUT", self.set_user_permissions),
        ):
            routes.add(
                method,
                "/{user_id}/permissions",
                endpoint,
                access=ADMINS,
                answers=one(models.UserPermissions),
                errors=[UserNotFound],
            )
        return routes

    async def get_user_permissions(self, op: Op, user_id: str) -> models.UserPermissions:
        """Read which permissions a user has by itself, and which it has in all."""
        return await self._permissions.get(op, user_id)

    async def set_user_permissions(
        self, op: Op, user_id: str, body: models.UserPermissionsChange
    ) -> models.UserPermissions:
        """Give a user exactly these permissions by itself, beside those of its roles and groups."""
        return await self._permissions.set(op, user_id, body.permissions)


def _view(role: CustomRole) -> models.CustomRole:
    return models.CustomRole(**{**asdict(role), "permissions": list(role.permissions)})


def _of_user(op: Op, role: CustomRole, user_id: str) -> models.Assignment:
    op.note(role_id=role.id)
    return models.Assignment(role_id=role.id, tenant_id=role.tenant_id, user_id=user_id)


def _of_group(op: Op, role: CustomRole, group_id: str) -> models.Assignment:
    op.note(role_id=role.id)
    return models.Assignment(role_id=role.id, tenant_id=role.tenant_id, group_id=group_id)
