"""Things as people name them: by id, or by name."""

import re
from collections.abc import Iterable

from scaibunker.cli.exit_codes import ExitCode
from scaibunker.cli.failures import CommandError
from scaibunker.sdk import Client

_ID = re.compile(r"(?:bnk|wrk|qpf|snp|brg)_[A-Za-z0-9_-]+")
_PAGE = 200


def bunker_id(client: Client, reference: str) -> str:
    """A bunker's id. A name is looked for among those that still exist."""
    if _is_id("bnk", reference):
        return reference
    living = (b for b in client.bunkers.list(page_size=_PAGE) if not b.status.is_final)
    return _only("bunker", reference, ((bunker.id, bunker.record.name) for bunker in living))


def worker_id(client: Client, reference: str) -> str:
    """A worker's id."""
    if _is_id("wrk", reference):
        return reference
    found = client.workers.list(page_size=_PAGE)
    return _only("worker", reference, ((worker.id, worker.name) for worker in found))


def profile_id(client: Client, reference: str) -> str:
    """A quota profile's id. A tenant and the platform may each have one of a name."""
    if _is_id("qpf", reference):
        return reference
    found = client.quotas.list(page_size=_PAGE)
    named = ((profile.id, profile.name) for profile in found)
    return _only("quota profile", reference, named, listing="quota ls")


def snapshot_id(client: Client, reference: str) -> str:
    """A snapshot's id. Several may have one name."""
    if _is_id("snp", reference):
        return reference
    found = client.snapshots.list(page_size=_PAGE)
    return _only("snapshot", reference, ((snapshot.id, snapshot.name) for snapshot in found))


def bridge_id(client: Client, reference: str) -> str:
    """A bridge's id. Who sees several tenants may see several of one name."""
    if _is_id("brg", reference):
        return reference
    found = client.bridges.list(page_size=_PAGE)
    return _only("bridge", reference, ((bridge.id, bridge.name) for bridge in found))


def _is_id(prefix: str, reference: str) -> bool:
    return reference.startswith(f"{prefix}_") and _ID.fullmatch(reference) is not None


def _only(
    what: str,
    reference: str,
    named: Iterable[tuple[str, str | None]],
    *,
    listing: str | None = None,
) -> str:
    """The id of the one thing of that name."""
    found = [id_ for id_, name in named if name == reference]
    if not found:
        raise CommandError(
            f"no {what} is named {reference!r}",
            exit_code=ExitCode.NOT_FOUND,
            hint=f"`scaibunker {listing or f'{what} ls'}` shows them",
        )
    if len(found) > 1:
        raise CommandError(
            f"{len(found)} {what}s are named {reference!r}",
            exit_code=ExitCode.CONFLICT,
            hint=f"use an id: {', '.join(found[:10])}",
        )
    return found[0]
