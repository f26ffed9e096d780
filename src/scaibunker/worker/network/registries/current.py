"""The list that is in force: read at start, and again when the operator's file changes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.registries import operators_file
from scaibunker.worker.network.registries.derive import derive
from scaibunker.worker.network.registries.host_view import this_host
from scaibunker.worker.network.registries.hosts import RegistryHosts
from scaibunker.worker.network.registries.operators_file import RegistryFileInvalid

log = structlog.get_logger(__name__)

LOOK_S = 5.0
"""Seconds between looks at the operator's file."""

_Version = tuple[int, int, int] | None


class Registries:
    """`hosts` may be another list each time it is asked for."""

    def __init__(self, hosts: RegistryHosts | None = None, file: Path | None = None) -> None:
        self.hosts = hosts or RegistryHosts()
        self._file = file
        self._seen = _version(file)

    @classmethod
    async def open(cls, file: Path | None) -> "Registries":
        """The operator's list, or without a file what this host's package clients say; takes a second or two then.
        Raises WorkerFault if the file cannot be used."""
        try:
            made = cls(file=file)
            made.hosts = await asyncio.to_thread(read, file)
        except RegistryFileInvalid as error:
            raise WorkerFault(f"SCAIBUNKER_WORKER_NETWORK_REGISTRY_FILE: {error}") from None
        log.info("registry_hosts", hosts=len(made.hosts.sources), notes=list(made.hosts.notes))
        return made

    async def watch(self, changed: Callable[[], None]) -> None:
        """Until cancelled; says when there is another list. A file that cannot be used is logged once, and the list
        stays as it was."""
        while self._file is not None:
            await asyncio.sleep(LOOK_S)
            if await self.look():
                changed()

    async def look(self) -> bool:
        """Read the file again if it has changed; whether there is another list."""
        version = await asyncio.to_thread(_version, self._file)
        if self._file is None or version == self._seen:
            return False
        self._seen = version
        try:
            hosts = await asyncio.to_thread(operators_file.read, self._file)
        except RegistryFileInvalid as error:
            log.error("registry_hosts_file_invalid", reason=str(error))
            return False
        if hosts.patterns == self.hosts.patterns:
            return False
        self.hosts = hosts
        log.info("registry_hosts", hosts=len(hosts.sources))
        return True


def read(file: Path | None) -> RegistryHosts:
    """Raises RegistryFileInvalid."""
    return operators_file.read(file) if file is not None else derive(this_host())


def _version(file: Path | None) -> _Version:
    if file is None:
        return None
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
