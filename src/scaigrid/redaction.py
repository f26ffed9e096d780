"""The last safety net of the logs: nobody logs a secret, and if somebody does, it is not written.

A value is hidden for the name that it goes by, or for how it looks. It is a net, not a licence:
what is known to be secret must not be handed to a logger.
"""

import functools
import re
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

HIDDEN = "[hidden]"
MAX_DEPTH = 6
"""How deep a value is looked into; what lies deeper is not written."""
_SECRET_NAME = re.compile(
    r"authorization|cookie|credential|passw|secret|token"
    r"|(api|private|access)[_-]?key|(?<![a-z])(env|environ|environment|stdin)(?![a-z])",
    re.IGNORECASE,
)
_LOOKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"sgk_[A-Za-z0-9_-]+"), f"sgk_{HIDDEN}"),
    (re.compile(r"\b(bearer|basic)\s+[^\s\"',;]{12,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), HIDDEN),  # a JWT
    (re.compile(r"(://[^\s/:@?#]{0,256}):[^\s/?#]{1,1024}@"), rf"\1:{HIDDEN}@"),
)


_SUSPICIOUS = re.compile(r"sgk_|eyJ|://|(?i:bearer|basic)")
"""In what has none of these nothing needs to be looked for: nearly every line."""


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A structlog processor. The last one before the line is made text."""
    return {key: _of_key(key, value, 0) for key, value in event.items()}


def _of_key(key: object, value: Any, depth: int) -> Any:
    if value is not None and _is_secret(str(key)):
        return HIDDEN
    return _clean(value, depth)


@functools.lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _clean(value: Any, depth: int) -> Any:
    match value:
        case str():
            return hide(value)
        case None | bool() | int() | float():
            return value
        case _ if depth >= MAX_DEPTH:
            return HIDDEN
        case Mapping():
            return {hide(str(key)): _of_key(key, each, depth + 1) for key, each in value.items()}
        case Sequence() | set() | frozenset() if not isinstance(value, bytes | bytearray):
            return [_clean(each, depth + 1) for each in value]
    return hide(repr(value))


def hide(text: str) -> str:
    """The text without what looks like a secret."""
    if _SUSPICIOUS.search(text) is None:
        return text
    for look, instead in _LOOKS:
        text = look.sub(instead, text)
    return text
