"""The list of registries as data: patterns of host names, each with the sources that named it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scaibunker.wire.worker.network import MAX_REGISTRY_HOSTS


@dataclass(frozen=True, slots=True)
class RegistryHosts:
    """`sources`: by pattern (host name or first-level wildcard, lower case, ASCII), which file or client named it.
    `notes` say what was left out, and why."""

    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def patterns(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(self.sources))


def gathered(named: Iterable[tuple[str, str]], notes: Iterable[str]) -> RegistryHosts:
    """The list of pairs of pattern and source; at most MAX_REGISTRY_HOSTS patterns, the first of them in order."""
    sources: dict[str, dict[str, None]] = {}
    for pattern, source in named:
        sources.setdefault(pattern, {})[source] = None
    kept, said = sorted(sources), list(dict.fromkeys(notes))
    if len(kept) > MAX_REGISTRY_HOSTS:
        said.append(f"{len(kept) - MAX_REGISTRY_HOSTS} hosts are over {MAX_REGISTRY_HOSTS}")
    return RegistryHosts(
        {pattern: tuple(sources[pattern]) for pattern in kept[:MAX_REGISTRY_HOSTS]}, tuple(said)
    )
