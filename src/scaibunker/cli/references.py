"""Bunkers as people name them: by id, or by the name they gave one."""

import re

from scaibunker.cli.exit_codes import ExitCode
from scaibunker.cli.failures import CommandError
from scaibunker.sdk import Client

_ID = re.compile(r"bnk_[A-Za-z0-9_-]+")


def bunker_id(client: Client, reference: str) -> str:
    """The id. A name is looked for among the bunkers that still exist."""
    if _ID.fullmatch(reference):
        return reference
    found = [
        bunker.id
        for bunker in client.bunkers.list(page_size=200)
        if bunker.record.name == reference and not bunker.status.is_final
    ]
    if not found:
        raise CommandError(
            f"no bunker is named {reference!r}",
            exit_code=ExitCode.NOT_FOUND,
            hint="`scaibunker bunker ls` shows them",
        )
    if len(found) > 1:
        raise CommandError(
            f"{len(found)} bunkers are named {reference!r}",
            exit_code=ExitCode.CONFLICT,
            hint=f"use an id: {', '.join(found[:10])}",
        )
    return found[0]
