"""Interfaces as people write them: `if=eth0,bridge=lan,mac=02:00:00:00:00:01,spoof-guard=off`."""

from collections.abc import Sequence

import typer
from pydantic import ValidationError

from scaibunker.cli.values import INTERFACE_FORM as FORM
from scaibunker.sdk import Interface

_NAMES = {"if": "if_name", "bridge": "bridge_name", "mac": "mac", "spoof-guard": "spoof_guard"}
_GUARD = {"on": True, "off": False}


def interfaces(texts: Sequence[str]) -> list[Interface]:
    """One for each text. Raises typer.BadParameter, which says what is wrong with which."""
    return [_interface(text) for text in texts]


def _interface(text: str) -> Interface:
    fields: dict[str, object] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or name not in _NAMES or _NAMES[name] in fields:
            raise typer.BadParameter(f"an interface as {FORM}, not {text!r}")
        if name == "spoof-guard" and value not in _GUARD:
            raise typer.BadParameter(f"spoof-guard is on or off, not {value!r}")
        fields[_NAMES[name]] = _GUARD[value] if name == "spoof-guard" else value
    missing = [name for name in ("if", "bridge") if _NAMES[name] not in fields]
    if missing:
        raise typer.BadParameter(f"an interface as {FORM}: {missing[0]} is missing in {text!r}")
    try:
        return Interface.model_validate(fields)
    except ValidationError as error:
        [first, *_] = error.errors(include_url=False, include_input=False)
        raise typer.BadParameter(f"{text!r}: {first['loc'][0]}: {first['msg']}") from None
