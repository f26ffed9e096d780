"""What can go wrong with partners, tenants and users."""

from scaigrid.errors import GridError, Kind


class PartnerNotFound(GridError):
    """There is no such partner."""

    kind = Kind.NOT_FOUND
    code = "PARTNER_NOT_FOUND"


class TenantNotFound(GridError):
    """There is no such tenant."""

    kind = Kind.NOT_FOUND
    code = "TENANT_NOT_FOUND"


class UserNotFound(GridError):
    """There is no such user."""

    kind = Kind.NOT_FOUND
    code = "USER_NOT_FOUND"


class ModuleNotFound(GridError):
    """There is no such module."""

    kind = Kind.NOT_FOUND
    code = "MODULE_NOT_FOUND"


class NameConflict(GridError):
    """The name is taken."""

    kind = Kind.CONFLICT
    code = "NAME_CONFLICT"
    hint = "Choose another name."


class LastSuperAdmin(GridError):
    """The platform would be left without a super-admin."""

    kind = Kind.CONFLICT
    code = "LAST_SUPER_ADMIN"
    hint = "Give somebody else the role first."
