"""How many snapshots a tenant may have, and for how long. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaibunker.controller.settings import SnapshotSettings
from scaigrid.errors import ValidationFailed, detail


@dataclass(frozen=True, slots=True)
class Counts:
    """A tenant's snapshots that have not failed, and how many of those are in the making."""

    kept: int
    unfinished: int


def check_counts(tenant_id: str, counts: Counts, settings: SnapshotSettings) -> None:
    """Whether there may be one more. Raises BunkerQuotaExceeded."""
    for resource, current, cap in (
        ("snapshots", counts.kept, settings.snapshot_max_per_tenant),
        (
            "unfinished_snapshots",
            counts.unfinished,
            settings.snapshot_max_unfinished_per_tenant,
        ),
    ):
        if current >= cap:
            named = resource.replace("_", " ")
            message = f"the tenant has {current} {named}, of {cap}"
            raise BunkerQuotaExceeded(
                f"Quota platform maximum: {message}.",
                hint="Delete snapshots that are not needed, or wait until others are ready.",
                details=[
                    detail(
                        resource,
                        message,
                        profile="platform",
                        profile_name="platform maximum",
                        bucket=f"tenant:{tenant_id}",
                        resource=resource,
                        current=current,
                        requested=1,
                        cap=cap,
                    )
                ],
            )


def expires_at(now: datetime, wanted_s: int | None, most_s: int | None) -> datetime | None:
    """When a snapshot made now expires; None for never. Raises ValidationFailed for longer than is
    allowed."""
    if wanted_s is not None and most_s is not None and wanted_s > most_s:
        raise ValidationFailed.of("expires_in_s", f"must be at most {most_s}")
    keep_s = wanted_s if wanted_s is not None else most_s
    return now + timedelta(seconds=keep_s) if keep_s is not None else None
