"""`/quota-profiles`: how much users and groups may hold, and what they do."""

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from scaibunker.controller.permissions import Key
from scaibunker.controller.quotas.domain import Assignment, Mode, Profile, TargetKind
from scaibunker.controller.quotas.errors import QuotaAssignmentNotFound, QuotaProfileNotFound
from scaibunker.controller.quotas.service import Profiles
from scaibunker.controller.quotas.usage import Usage
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api import quotas as wire
from scaigrid.groups.errors import GroupNotFound
from scaigrid.http.access import Needs
from scaigrid.http.paging import Paged, Slice
from scaigrid.http.patch import changes
from scaigrid.http.resources import Place, Reach, Relation, Resource
from scaigrid.http.routes import Op, Routes, many, one
from scaigrid.operation import Operation
from scaigrid.tenancy.errors import NameConflict, TenantNotFound, UserNotFound
from scaigrid.tenancy.resources import TENANT

_OF_TENANTS = (Relation.SAME_TENANT, Relation.SAME_PARTNER, Relation.FOREIGN)
PROFILE = Resource("profile_id", Reach.TENANT, QuotaProfileNotFound, _OF_TENANTS)
READABLE = Resource(
    "profile_id", Reach.TENANT, QuotaProfileNotFound, (*_OF_TENANTS, Relation.SHARED)
)
ASSIGNMENT = Resource("assignment_id", Reach.TENANT, QuotaAssignmentNotFound, _OF_TENANTS)
PATH = f"{BASE_PATH}/quota-profiles"
_ONE = "/{profile_id}"
_ASSIGNMENTS = "/{profile_id}/assignments"
_ASSIGNMENT = "/{profile_id}/assignments/{assignment_id}"


class QuotaEndpoints:
    """Profiles, assignments, and what is used."""

    def __init__(self, profiles: Profiles, usage: Usage) -> None:
        self._profiles = profiles
        self._usage = usage

    def routes(self) -> list[Routes]:
        """The declarations: of what may be read, and of what is changed."""
        return [self._reading(), self._changing()]

    def _reading(self) -> Routes:
        routes = Routes(PATH, "quotas", READABLE, ASSIGNMENT)
        admins = Needs(Key.ADMIN_TENANT, Key.ADMIN_PLATFORM)
        missing = QuotaProfileNotFound
        routes.add(
            "GET",
            "/usage",
            self.list_quota_usage,
            access=Needs(Key.CREATE, Key.ADMIN_TENANT, Key.ADMIN_PLATFORM),
            answers=many(wire.QuotaUsage, "Buckets, in the order of their names."),
        )
        routes.add(
            "GET", "", self.list_quota_profiles, access=admins, answers=many(wire.QuotaProfile)
        )
        routes.add(
            "GET",
            _ONE,
            self.get_quota_profile,
            access=admins,
            answers=one(wire.QuotaProfile),
            errors=[missing],
        )
        routes.add(
            "GET",
            _ASSIGNMENTS,
            self.list_quota_assignments,
            access=admins,
            answers=many(wire.QuotaAssignment),
            errors=[missing],
        )
        routes.add(
            "GET",
            _ASSIGNMENT,
            self.get_quota_assignment,
            access=admins,
            answers=one(wire.QuotaAssignment),
            errors=[missing, QuotaAssignmentNotFound],
        )
        return routes

    def _changing(self) -> Routes:
        routes = Routes(PATH, "quotas", PROFILE, ASSIGNMENT)
        admins = Needs(Key.ADMIN_TENANT, Key.ADMIN_PLATFORM)
        missing, profile = QuotaProfileNotFound, one(wire.QuotaProfile)
        routes.add(
            "POST",
            "",
            self.create_quota_profile,
            access=admins,
            answers=one(wire.QuotaProfile, 201, "The profile."),
            errors=[TenantNotFound, NameConflict],
            names=[TENANT.at(Place.BODY)],
        )
        routes.add(
            "PATCH",
            _ONE,
            self.change_quota_profile,
            access=admins,
            answers=profile,
            errors=[missing, NameConflict],
        )
        routes.add(
            "DELETE",
            _ONE,
            self.delete_quota_profile,
            access=admins,
            answers=profile,
            errors=[missing],
        )
        routes.add(
            "POST",
            _ASSIGNMENTS,
            self.assign_quota_profile,
            access=admins,
            answers=one(wire.QuotaAssignment, 201, "The assignment."),
            errors=[missing, UserNotFound, GroupNotFound, NameConflict],
        )
        routes.add(
            "DELETE",
            _ASSIGNMENT,
            self.unassign_quota_profile,
            access=admins,
            answers=one(wire.QuotaAssignment),
            errors=[missing, QuotaAssignmentNotFound],
        )
        return routes

    async def list_quota_usage(self, op: Op, page: Paged) -> Slice[wire.QuotaUsage]:
        """Read what is held of which allowance: of the caller's own and of those that it shares;
        who may set quotas sees all of the tenant's."""
        return await self._usage.listing(op, page)

    async def list_quota_profiles(self, op: Op, page: Paged) -> Slice[wire.QuotaProfile]:
        """List the profiles of the caller's tenants, and the platform's defaults."""
        return (await self._profiles.listing(op, page)).map(_profile)

    async def create_quota_profile(
        self, op: Op, body: wire.QuotaProfileCreate
    ) -> wire.QuotaProfile:
        """Make a profile. It bounds nobody until it is assigned; one of the platform bounds all
        for whom no other applies."""
        tenant_id = body.tenant_id
        if "tenant_id" not in body.model_fields_set and not op.user.holds(Key.ADMIN_PLATFORM):
            tenant_id = op.user.tenant_id
        made = await self._profiles.create(op, tenant_id, body.name, body.description, _caps(body))
        return _profile(made)

    async def get_quota_profile(self, op: Op, profile_id: str) -> wire.QuotaProfile:
        """Read a profile."""
        return _profile(await self._profiles.get(op, profile_id))

    async def change_quota_profile(
        self, op: Op, profile_id: str, body: wire.QuotaProfileChange
    ) -> wire.QuotaProfile:
        """Change a profile. It holds from the next create on; what is held already stays held."""
        values = changes(body, *wire.QuotaCaps.model_fields)
        return _profile(await self._profiles.change(op, profile_id, values))

    async def delete_quota_profile(self, op: Op, profile_id: str) -> wire.QuotaProfile:
        """Delete a profile, and with it its assignments."""
        return _profile(await self._profiles.delete(op, profile_id))

    async def list_quota_assignments(
        self, op: Op, profile_id: str, page: Paged
    ) -> Slice[wire.QuotaAssignment]:
        """List whom a profile applies to."""
        return (await self._profiles.assignments(op, profile_id, page)).map(_assignment)

    async def assign_quota_profile(
        self, op: Op, profile_id: str, body: wire.QuotaAssignmentCreate
    ) -> wire.QuotaAssignment:
        """Have a profile apply to a user or a group; each has one at most. Doing it twice changes
        nothing."""
        made = await self._profiles.assign(
            op,
            profile_id,
            TargetKind(body.target_kind.value),
            body.target_id,
            Mode(body.mode.value) if body.mode else None,
        )
        _note_target(op, made)
        return _assignment(made)

    async def get_quota_assignment(
        self, op: Op, profile_id: str, assignment_id: str
    ) -> wire.QuotaAssignment:
        """Read an assignment."""
        return _assignment(await self._profiles.assignment(op, profile_id, assignment_id))

    async def unassign_quota_profile(
        self, op: Op, profile_id: str, assignment_id: str
    ) -> wire.QuotaAssignment:
        """Have a profile not apply any more. What bunkers hold stays held."""
        gone = await self._profiles.unassign(op, profile_id, assignment_id)
        _note_target(op, gone)
        return _assignment(gone)


def _note_target(op: Operation, of: Assignment) -> None:
    """For the audit log: an assignment that is gone cannot be asked whom it was for."""
    op.note(
        profile_id=of.profile_id,
        target_kind=of.target_kind.value,
        target_id=of.target_id,
        mode=of.mode.value,
    )


def _caps(body: BaseModel) -> dict[str, Any]:
    return body.model_dump(include=set(wire.QuotaCaps.model_fields))


def _profile(profile: Profile) -> wire.QuotaProfile:
    return wire.QuotaProfile(**asdict(profile))


def _assignment(assignment: Assignment) -> wire.QuotaAssignment:
    return wire.QuotaAssignment(**asdict(assignment))
