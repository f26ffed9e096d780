"""What can be refused about quotas."""

from scaibunker.wire.codes import Code
from scaigrid.errors import GridError, Kind


class BunkerQuotaExceeded(GridError):
    """The bunker would take more than a quota allows."""

    kind = Kind.LIMITED
    code = Code.BUNKER_QUOTA_EXCEEDED
    hint = (
        "End bunkers that are not needed, ask for less, or have an administrator raise the quota."
    )


class QuotaProfileNotFound(GridError):
    """There is no such quota profile."""

    kind = Kind.NOT_FOUND
    code = Code.QUOTA_PROFILE_NOT_FOUND


class QuotaAssignmentNotFound(GridError):
    """There is no such assignment of a quota profile."""

    kind = Kind.NOT_FOUND
    code = Code.QUOTA_ASSIGNMENT_NOT_FOUND
