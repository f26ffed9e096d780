"""`/v1/partners`, `/v1/tenants`, `/v1/users` and `/v1/modules`."""

from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, Query

from scaigrid.errors import PermissionDenied
from scaigrid.http.access import ADMINS, PARTNER_ADMINS, SUPER_ADMINS, Signed
from scaigrid.http.paging import Paged, Slice
from scaigrid.http.patch import changes
from scaigrid.http.resources import Place
from scaigrid.http.routes import Op, Routes, many, one
from scaigrid.permissions.domain import Role
from scaigrid.tenancy import domain, models
from scaigrid.tenancy.domain import TenantStatus, UserStatus
from scaigrid.tenancy.errors import (
    LastSuperAdmin,
    ModuleNotFound,
    NameConflict,
    PartnerNotFound,
    TenantNotFound,
    UserNotFound,
)
from scaigrid.tenancy.modules import TenantModules
from scaigrid.tenancy.repository import TenantFilter, UserFilter
from scaigrid.tenancy.resources import MODULE, PARTNER, TENANT, USER
from scaigrid.tenancy.tenants import Partners, Tenants
from scaigrid.tenancy.users import Users

ElsewhereId = Annotated[
    str | None, Query(max_length=64, description="A tenant in reach; the caller's own by default.")
]


def _tenant_filter(
    name: Annotated[str | None, Query(max_length=128)] = None,
    partner_id: Annotated[str | None, Query(max_length=64)] = None,
    status: TenantStatus | None = None,
) -> TenantFilter:
    return TenantFilter(name, partner_id, status)


def _user_filter(
    tenant_id: Annotated[str | None, Query(max_length=64)] = None,
    name: Annotated[str | None, Query(max_length=128)] = None,
    role: Role | None = None,
    status: UserStatus | None = None,
    subject: Annotated[str | None, Query(max_length=255)] = None,
) -> UserFilter:
    return UserFilter(tenant_id, name, role, status, subject)


class PartnerEndpoints:
    """Partners: the platform's own business."""

    def __init__(self, partners: Partners) -> None:
        self._partners = partners

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes("/v1/partners", "partners", PARTNER)
        add = routes.add
        shown = one(models.Partner)
        add("GET", "", self.list_partners, access=SUPER_ADMINS, answers=many(models.Partner))
        add(
            "POST",
            "",
            self.create_partner,
            access=SUPER_ADMINS,
            answers=one(models.Partner, 201),
            errors=[NameConflict],
        )
        missing = [PartnerNotFound]
        path = "/{partner_id}"
        add("GET", path, self.get_partner, access=SUPER_ADMINS, answers=shown, errors=missing)
        add(
            "PATCH",
            path,
            self.change_partner,
            access=SUPER_ADMINS,
            answers=shown,
            errors=[PartnerNotFound, NameConflict],
        )
        return routes

    async def list_partners(self, op: Op, page: Paged) -> Slice[models.Partner]:
        """List all partners."""
        return (await self._partners.listing(op, page)).map(_partner)

    async def create_partner(self, op: Op, body: models.PartnerBody) -> models.Partner:
        """Make a partner. Tenants are given to it by `POST` or `PATCH` of a tenant."""
        return _partner(await self._partners.create(op, body.name))

    async def get_partner(self, op: Op, partner_id: str) -> models.Partner:
        """Show a partner."""
        return _partner(await self._partners.get(op, partner_id))

    async def change_partner(
        self, op: Op, partner_id: str, body: models.PartnerBody
    ) -> models.Partner:
        """Give a partner another name."""
        return _partner(await self._partners.rename(op, partner_id, body.name))


class TenantEndpoints:
    """Tenants, and the modules that they have."""

    def __init__(self, tenants: Tenants, modules: TenantModules) -> None:
        self._tenants = tenants
        self._modules = modules

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes("/v1", "tenants", TENANT, MODULE)
        add = routes.add
        shown = one(models.Tenant)
        path = "/tenants/{tenant_id}"
        add("GET", "/tenants", self.list_tenants, access=ADMINS, answers=many(models.Tenant))
        add(
            "POST",
            "/tenants",
            self.create_tenant,
            access=PARTNER_ADMINS,
            answers=one(models.Tenant, 201),
            errors=[NameConflict, PartnerNotFound],
            names=[PARTNER.at(Place.BODY, PermissionDenied)],
        )
        missing = [TenantNotFound]
        add("GET", path, self.get_tenant, access=Signed(), answers=shown, errors=missing)
        add(
            "PATCH",
            path,
            self.change_tenant,
            access=PARTNER_ADMINS,
            answers=shown,
            errors=[TenantNotFound, NameConflict, PartnerNotFound, LastSuperAdmin],
        )
        add(
            "GET",
            "/modules",
            self.list_modules,
            access=Signed(),
            answers=many(models.ModuleState, "All modules."),
            errors=missing,
            names=[TENANT.at(Place.QUERY)],
        )
        for verb, endpoint in (("enable", self.enable_module), ("disable", self.disable_module)):
            add(
                "POST",
                f"/modules/{{module_id}}/{verb}",
                endpoint,
                access=ADMINS,
                answers=one(models.ModuleState),
                errors=[ModuleNotFound, TenantNotFound],
                names=[TENANT.at(Place.QUERY)],
            )
        return routes

    async def list_tenants(
        self, op: Op, page: Paged, wanted: Annotated[TenantFilter, Depends(_tenant_filter)]
    ) -> Slice[models.Tenant]:
        """List the tenants in the caller's reach: its own, those of its partner, or all."""
        return (await self._tenants.listing(op, page, wanted)).map(_tenant)

    async def create_tenant(self, op: Op, body: models.TenantCreate) -> models.Tenant:
        """Make a tenant. Its first user is made by `POST /v1/users`, and that one's key by
        `POST /v1/api-keys`."""
        return _tenant(await self._tenants.create(op, body.name, body.partner_id))

    async def get_tenant(self, op: Op, tenant_id: str) -> models.Tenant:
        """Show a tenant in the caller's reach."""
        return _tenant(await self._tenants.get(op, tenant_id))

    async def change_tenant(
        self, op: Op, tenant_id: str, body: models.TenantPatch
    ) -> models.Tenant:
        """Rename, suspend or reactivate a tenant. All calls of a suspended one are refused; what
        runs in it runs on. Nobody suspends its own tenant, nor one with users above its role."""
        values = changes(body, "partner_id")
        return _tenant(await self._tenants.change(op, tenant_id, values))

    async def list_modules(
        self, op: Op, tenant_id: ElsewhereId = None
    ) -> Slice[models.ModuleState]:
        """List the modules of this installation, and whether the tenant has them."""
        return Slice(await self._modules.listing(op, tenant_id))

    async def enable_module(
        self, op: Op, module_id: str, tenant_id: ElsewhereId = None
    ) -> models.ModuleState:
        """Give a tenant a module. A tenant has all modules until one is taken away."""
        return await self._modules.switch(op, module_id, tenant_id, enabled=True)

    async def disable_module(
        self, op: Op, module_id: str, tenant_id: ElsewhereId = None
    ) -> models.ModuleState:
        """Take a module away from a tenant: its operations answer `MODULE_NOT_ENABLED`."""
        return await self._modules.switch(op, module_id, tenant_id, enabled=False)


class UserEndpoints:
    """Users."""

    def __init__(self, users: Users) -> None:
        self._users = users

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes("/v1/users", "users", USER)
        add = routes.add
        shown = one(models.User)
        path = "/{user_id}"
        add("GET", "", self.list_users, access=ADMINS, answers=many(models.User))
        add(
            "POST",
            "",
            self.create_user,
            access=ADMINS,
            answers=one(models.User, 201),
            errors=[TenantNotFound, NameConflict],
            names=[TENANT.at(Place.BODY)],
        )
        missing = [UserNotFound]
        add("GET", path, self.get_user, access=Signed(), answers=shown, errors=missing)
        add(
            "PATCH",
            path,
            self.change_user,
            access=ADMINS,
            answers=shown,
            errors=[UserNotFound, NameConflict, LastSuperAdmin],
        )
        add(
            "DELETE",
            path,
            self.end_user,
            access=ADMINS,
            answers=shown,
            errors=[UserNotFound, LastSuperAdmin],
            not_on_oneself=True,
        )
        return routes

    async def list_users(
        self, op: Op, page: Paged, wanted: Annotated[UserFilter, Depends(_user_filter)]
    ) -> Slice[models.User]:
        """List the users in the caller's reach."""
        return (await self._users.listing(op, page, wanted)).map(user_view)

    async def create_user(self, op: Op, body: models.UserCreate) -> models.User:
        """Make a user, of no higher role than the caller's."""
        made = await self._users.create(op, body.tenant_id, body.name, body.role, body.subject)
        return user_view(made)

    async def get_user(self, op: Op, user_id: str) -> models.User:
        """Show a user in the caller's reach, or the caller itself."""
        return user_view(await self._users.get(op, user_id))

    async def change_user(self, op: Op, user_id: str, body: models.UserPatch) -> models.User:
        """Change a user of no higher role than the caller's. It holds from its next request on."""
        values = changes(body, "subject")
        return user_view(await self._users.change(op, user_id, values))

    async def end_user(self, op: Op, user_id: str) -> models.User:
        """Disable a user for good and revoke its API keys. What it owns stays."""
        return user_view(await self._users.end(op, user_id))


def _partner(partner: domain.Partner) -> models.Partner:
    return models.Partner(**asdict(partner))


def _tenant(tenant: domain.Tenant) -> models.Tenant:
    return models.Tenant(**asdict(tenant))


def user_view(user: domain.User) -> models.User:
    """A user as callers see it."""
    return models.User(**asdict(user))
