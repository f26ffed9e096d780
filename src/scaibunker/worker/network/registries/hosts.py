"""The list of registries as data: patterns of host names, each with the sources that named it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_HOSTS = 256
"""A longer list is cut, and said to be."""


@dataclass(frozen=True, slots=True)
class RegistryHosts:
    """`sources`: by pattern (host name or first-level wildcard, lower case, ASCII), which file or client named it.
    `notes` say what was left out, and why."""

    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def patterns(self) -> tuple[str, ...]:
        """Sorted; at most MAX_HOSTS."""
        return tuple(sorted(self.sources))
