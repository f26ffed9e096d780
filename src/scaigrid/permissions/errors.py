"""What can go wrong with custom roles."""

from scaigrid.errors import GridError, Kind


class CustomRoleNotFound(GridError):
    """There is no such custom role."""

    kind = Kind.NOT_FOUND
    code = "CUSTOM_ROLE_NOT_FOUND"
