"""What `doctor` says of one thing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `advice` says how to mend it; `required` whether nothing works
    without it."""

    name: str
    ok: bool
    value: str
    advice: str | None
    required: bool
