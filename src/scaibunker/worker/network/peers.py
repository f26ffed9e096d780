"""Addresses of the deployment's other hosts, as the controller tells them; and those of this host, which it is told.

The last list stays on disk, so that a daemon that is started anew closes them before it has heard of anybody.
"""

import ipaddress
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog
from pydantic import BaseModel, ValidationError

from scaibunker.wire.worker.network import MAX_WORKER_ADDRESSES
from scaibunker.wire.worker.vicinity import VicinityChange, digest_of
from scaibunker.worker.network.never import Network

log = structlog.get_logger(__name__)

MAX_BYTES = 8 * 1024 * 1024


class _Kept(BaseModel):
    addresses: list[str]


class Peers:
    """`file` None: nothing is kept. `changed` is called when there is another list."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self.changed: Callable[[], None] = lambda: None
        self.own: Callable[[], Iterable[Network]] = lambda: ()
        """What this host answers for now; whoever knows it puts that here."""
        self._addresses = _read(file)
        self._digest = digest_of(self._addresses) if self._addresses else ""

    @property
    def digest(self) -> str:
        """The name of the list; empty if there is none."""
        return self._digest

    @property
    def addresses(self) -> tuple[str, ...]:
        """The list: addresses and ranges that no bunker may reach."""
        return tuple(sorted(self._addresses))

    def reported(self) -> list[str]:
        """Own addresses as a heartbeat says them: those of the outside first, if there are too many."""
        alone = {n.network_address for n in self.own() if n.prefixlen == n.max_prefixlen}
        useful = (a for a in alone if not (a.is_loopback or a.is_link_local or a.is_multicast))
        ordered = sorted(useful, key=lambda a: (not a.is_global, a.version, int(a)))
        return [str(address) for address in ordered[:MAX_WORKER_ADDRESSES]]

    def take(self, change: VicinityChange | None) -> bool:
        """What a controller has answered. A change that does not lead to the list that it names is thrown away, with
        the name of what is here: the whole comes next. What was closed stays closed until then. Whether there is
        another list, which `keep` puts on disk."""
        if change is None:
            return False
        if change.base and change.base != self._digest:
            return False  # an answer to an earlier heartbeat: the next says again what is missing
        before = self._addresses if change.base else frozenset()
        addresses = (before | frozenset(change.added)) - frozenset(change.removed)
        if digest_of(addresses) != change.digest:
            log.warning("vicinity_not_understood", base=change.base, digest=change.digest)
            self._digest = ""
            return False
        differs, self._addresses = addresses != self._addresses, addresses
        self._digest = change.digest
        if differs:
            log.info("vicinity_told", addresses=len(addresses))
            self.changed()
        return differs

    def keep(self) -> None:
        """Write the list down; blocks. A power cut leaves the old one or the new one."""
        if self._file is None:
            return
        temporary = self._file.with_suffix(".tmp")
        try:
            with temporary.open("w") as file:
                json.dump({"addresses": sorted(self._addresses)}, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self._file)
        except OSError as error:  # it is in force all the same
            log.warning("vicinity_not_kept", reason=str(error))


def _read(file: Path | None) -> frozenset[str]:
    if file is None:
        return frozenset()
    try:
        with file.open("rb") as opened:
            kept = _Kept.model_validate_json(opened.read(MAX_BYTES))
        for text in kept.addresses:
            ipaddress.ip_network(text)
        return frozenset(kept.addresses)
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValidationError, ValueError) as error:
        log.warning("vicinity_unreadable", error=type(error).__name__)
        return frozenset()
