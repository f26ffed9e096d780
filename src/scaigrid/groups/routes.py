"""`/v1/groups`: groups of users, and who is in them."""

from dataclasses import asdict
from typing import Annotated

from fastapi import Query

from scaigrid.groups import models
from scaigrid.groups.domain import Group
from scaigrid.groups.errors import GroupNotEmpty, GroupNotFound, TooManyGroups
from scaigrid.groups.resources import GROUP
from scaigrid.groups.service import Groups
from scaigrid.http.access import ADMINS, Signed
from scaigrid.http.paging import Paged, Slice
from scaigrid.http.patch import changes
from scaigrid.http.resources import Place
from scaigrid.http.routes import Op, Routes, many, one
from scaigrid.tenancy import models as tenancy
from scaigrid.tenancy.errors import NameConflict, TenantNotFound, UserNotFound
from scaigrid.tenancy.resources import TENANT, USER
from scaigrid.tenancy.routes import user_view

PATH = "/v1/groups"
_GROUP = "/{group_id}"
_MEMBER = "/{group_id}/members/{user_id}"


class GroupEndpoints:
    """Groups, for administrators; everybody reads those that it is in."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes(PATH, "groups", GROUP, USER)
        signed, group = Signed(), one(models.Group)
        routes.add("GET", "", self.list_groups, access=signed, answers=many(models.Group))
        routes.add(
            "POST",
            "",
            self.create_group,
            access=ADMINS,
            answers=one(models.Group, 201, "The group."),
            errors=[TenantNotFound, GroupNotFound, NameConflict, TooManyGroups],
            names=[TENANT.at(Place.BODY)],
        )
        routes.add(
            "GET", _GROUP, self.get_group, access=signed, answers=group, errors=[GroupNotFound]
        )
        routes.add(
            "PATCH",
            _GROUP,
            self.change_group,
            access=ADMINS,
            answers=group,
            errors=[GroupNotFound, NameConflict],
        )
        routes.add(
            "DELETE",
            _GROUP,
            self.delete_group,
            access=ADMINS,
            answers=group,
            errors=[GroupNotFound, GroupNotEmpty],
        )
        routes.add(
            "GET",
            "/{group_id}/members",
            self.list_group_members,
            access=ADMINS,
            answers=many(tenancy.User, "Users, the newest first."),
            errors=[GroupNotFound],
        )
        for method, endpoint in (
            ("PUT", self.add_group_member),
            ("DELETE", self.remove_group_member),
        ):
            routes.add(
                method,
                _MEMBER,
                endpoint,
                access=ADMINS,
                answers=one(models.Membership),
                errors=[GroupNotFound, UserNotFound],
            )
        return routes

    async def list_groups(
        self,
        op: Op,
        page: Paged,
        tenant_id: Annotated[str | None, Query(max_length=64)] = None,
        parent_id: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Slice[models.Group]:
        """List groups. Who is no administrator sees those that it is in, and those above them."""
        wanted = {"tenant_id": tenant_id, "parent_id": parent_id}
        return (await self._groups.listing(op, page, wanted)).map(view)

    async def create_group(self, op: Op, body: models.GroupCreate) -> models.Group:
        """Make a group, below another one or not."""
        return view(await self._groups.create(op, body.name, body.parent_id, body.tenant_id))

    async def get_group(self, op: Op, group_id: str) -> models.Group:
        """Read a group."""
        return view(await self._groups.get(op, group_id))

    async def change_group(self, op: Op, group_id: str, body: models.GroupChange) -> models.Group:
        """Rename a group or move it. It cannot be moved below itself."""
        values = changes(body, "parent_id")
        return view(await self._groups.change(op, group_id, values))

    async def delete_group(self, op: Op, group_id: str) -> models.Group:
        """Delete a group that has neither members nor groups below it, and take its custom roles
        from it."""
        return view(await self._groups.delete(op, group_id))

    async def list_group_members(self, op: Op, group_id: str, page: Paged) -> Slice[tenancy.User]:
        """List the users in a group, not those in groups below it."""
        return (await self._groups.members(op, group_id, page)).map(user_view)

    async def add_group_member(self, op: Op, group_id: str, user_id: str) -> models.Membership:
        """Put a user of the group's tenant into it. Doing it twice changes nothing."""
        group = await self._groups.add_member(op, group_id, user_id)
        op.note(group_id=group.id)
        return models.Membership(group_id=group.id, user_id=user_id, tenant_id=group.tenant_id)

    async def remove_group_member(self, op: Op, group_id: str, user_id: str) -> models.Membership:
        """Take a user out of a group. Doing it twice changes nothing."""
        group = await self._groups.remove_member(op, group_id, user_id)
        op.note(group_id=group.id)
        return models.Membership(group_id=group.id, user_id=user_id, tenant_id=group.tenant_id)


def view(group: Group) -> models.Group:
    """A group as callers see it."""
    return models.Group(**asdict(group))
