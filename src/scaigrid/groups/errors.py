"""What can go wrong with groups."""

from scaigrid.errors import GridError, Kind


class GroupNotFound(GridError):
    """There is no such group."""

    kind = Kind.NOT_FOUND
    code = "GROUP_NOT_FOUND"


class TooManyGroups(GridError):
    """The tenant has as many groups as it can have."""

    kind = Kind.CONFLICT
    code = "GROUP_LIMIT_REACHED"
    hint = "Delete groups that are not needed."


class GroupNotEmpty(GridError):
    """The group has members or groups below it."""

    kind = Kind.CONFLICT
    code = "GROUP_NOT_EMPTY"
    hint = "Move them elsewhere or remove them first."
