"""What the process brings along, and the options that come before the command's name.

`main` makes one from the real process; tests make their own. It travels as the context's `obj`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing it takes longer than printing the help
    import httpx


@dataclass(frozen=True, slots=True)
class Choice:
    """Which endpoint, whose key, what form of output: as given on the command line."""

    endpoint: str | None = None
    api_key: str | None = field(default=None, repr=False)
    api_key_file: Path | None = None
    profile: Path | None = None
    identity: str | None = None
    json: bool = False

    def over(self, outer: "Choice") -> "Choice":
        """This one where it says something, else the outer one."""
        return Choice(
            endpoint=self.endpoint or outer.endpoint,
            api_key=self.api_key or outer.api_key,
            api_key_file=self.api_key_file or outer.api_key_file,
            profile=self.profile or outer.profile,
            identity=self.identity or outer.identity,
            json=self.json or outer.json,
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The environment, standard input, and in tests a transport in place of the network."""

    environ: Mapping[str, str]
    stdin: int = 0
    http_transport: "httpx.BaseTransport | None" = None
    choice: Choice = field(default_factory=Choice)

    def choosing(self, choice: Choice) -> "Surroundings":
        """The same with another choice."""
        return replace(self, choice=choice)
