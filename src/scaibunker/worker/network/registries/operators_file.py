"""The operator's list: a host name or first-level wildcard a line; `#` begins a comment."""

from pathlib import Path

from scaibunker.wire.hostnames import BadEntry, normalise
from scaibunker.wire.worker.network import MAX_REGISTRY_HOSTS
from scaibunker.worker.network.registries.hosts import RegistryHosts, gathered

MAX_BYTES = 1024 * 1024


class RegistryFileInvalid(ValueError):
    """The file cannot be used; the message names it, the line, and the rule that is broken."""


def read(path: Path) -> RegistryHosts:
    """What it lists. Raises RegistryFileInvalid."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RegistryFileInvalid(f"{path}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise RegistryFileInvalid(f"{path}: must have at most {MAX_BYTES} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise RegistryFileInvalid(f"{path}: must be UTF-8") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        try:
            found[normalise(entry)] = str(path)
        except BadEntry as error:
            raise RegistryFileInvalid(f"{path}, line {number}: {entry[:300]!r} {error}") from None
        if len(found) > MAX_REGISTRY_HOSTS:
            raise RegistryFileInvalid(
                f"{path}, line {number}: {MAX_REGISTRY_HOSTS} hosts are the limit"
            )
    return gathered(found.items(), ())
