"""Commands whose work is done by a server tier, which may not be installed.

The command line stands on the SDK alone, so that the base install stays small. What is in this table
is found by name when it is called for. What each function takes and gives is written with the
command that calls it; nothing of theirs is imported anywhere else in this package.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from scaibunker.cli.failures import CommandError


class Extra(NamedTuple):
    """A function of another tier, and what has to be installed for it. `command`: whose work it is, where that
    has another name."""

    module: str
    function: str
    install: str
    command: str | None = None


EXTRAS: Mapping[str, Extra] = {
    "dev": Extra("scaibunker.dev.main", "run", "scaibunker[controller,worker,storage]"),
    "doctor": Extra("scaibunker.worker.doctor", "collect", "scaibunker[worker]"),
    "reclaim": Extra("scaibunker.worker.remains.command", "run", "scaibunker[worker]", "doctor"),
}


def load(name: str) -> Callable[..., Any]:
    """The function. Raises `CommandError` that says what to install."""
    extra = EXTRAS[name]
    try:
        module = importlib.import_module(extra.module)
    except ModuleNotFoundError as error:
        missing = error.name or extra.module
        if missing.partition(".")[0] == "scaibunker" and missing not in extra.module:
            raise  # ours, and not the tier itself: a fault of the package, not of the installation
        raise CommandError(
            f"`scaibunker {extra.command or name}` needs more than the base install: {missing} is missing",
            hint=f"pip install '{extra.install}'",
        ) from None
    function: Callable[..., Any] = getattr(module, extra.function)
    return function
