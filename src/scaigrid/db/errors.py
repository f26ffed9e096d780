"""What can go wrong between the platform and its database."""

from scaigrid.errors import GridError, Kind


class DatabaseUnavailable(GridError):
    """The database does not answer now."""

    kind = Kind.UNAVAILABLE
    code = "DATABASE_UNAVAILABLE"
    hint = "Try again in a moment; a POST under the same idempotency key."

    def __init__(self, message: str | None = None, *, in_doubt: bool = False) -> None:
        super().__init__(message, retry_after=1)
        self.in_doubt = in_doubt


class DatabaseBusy(DatabaseUnavailable):
    """The database is busy with other work on the same rows; nothing was changed."""


def lost_commit() -> DatabaseUnavailable:
    """The connection ended while a transaction was being committed."""
    return DatabaseUnavailable(
        "The database went away in mid-commit; the change may have been made.", in_doubt=True
    )
