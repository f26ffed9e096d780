"""Has the rules of a machine's namespace let its connections through to an address (`network.openings`)."""

import errno
import socket
from collections.abc import Iterable

import structlog

from scaibunker.worker.gateway.answers import Address
from scaibunker.worker.network.openings import port_for

log = structlog.get_logger(__name__)


class Openings:
    """`sockets`: those of its resolver, of UDP. Nothing waits: the rules have learned it when `open` returns."""

    def __init__(self, sockets: Iterable[socket.socket]) -> None:
        self._sockets = {4 if sock.family == socket.AF_INET else 6: sock for sock in sockets}

    def open(self, address: Address, lasts_s: float) -> None:
        """For so many seconds from now. What the rules do not learn they refuse; that is no reason not to answer."""
        sock = self._sockets.get(address.version)
        if sock is None:
            return
        try:
            sock.sendto(b"", (str(address), port_for(lasts_s)))
        except OSError as error:
            if error.errno != errno.EPERM:  # which says that the rules have dropped it
                log.debug("opening_failed", reason=str(error))
