"""Which names a machine's policy permits."""

from collections.abc import Iterable

WILDCARD = "*."


class Names:
    """`patterns`: host names and first-level wildcards, lower case, without a final dot: `*.example.com` stands for one
    more label, neither for the bare name nor for two."""

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(patterns)
        self._exact = frozenset(p for p in patterns if not p.startswith(WILDCARD))
        self._parents = frozenset(p[len(WILDCARD) :] for p in patterns if p.startswith(WILDCARD))

    def permit(self, name: str) -> bool:
        """`name` in any case, with or without one final dot."""
        name = name.lower().removesuffix(".")
        if name in self._exact:
            return True
        label, dot, parent = name.partition(".")
        return bool(label and dot) and parent in self._parents
