"""nftables, through libnftables: what it is given in one piece comes into force in one transaction, or not at all.

All of it works on the namespace of the calling thread (`netns.inside`): each call opens a netlink socket of its own.
"""

import ctypes
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from scaibunker.worker.errors import WorkerFault

LIBRARY = "libnftables.so.1"
JSON_OUTPUT = 1 << 4
MAX_MESSAGE = 1000
"""Characters of its complaint that are passed on."""

_lock = threading.Lock()
"""The library keeps tables of symbols that all its contexts share."""


class RulesNotApplied(WorkerFault):
    """nftables did not take it. What was in force before still is."""


@dataclass(frozen=True, slots=True)
class Counter:
    packets: int
    octets: int


def apply(text: str) -> None:
    """Put nft commands into force, all at once. Raises RulesNotApplied, with the kernel's or the parser's reason."""
    with _context() as (library, context):
        _run(library, context, text)


def counters(family: str, table: str) -> dict[str, Counter]:
    """The named counters of a table. Raises RulesNotApplied if there is no such table."""
    return {
        found["name"]: Counter(found["packets"], found["bytes"])
        for found in _listed(f"list counters table {family} {table}", "counter")
    }


def elements(family: str, table: str, name: str) -> list[str]:
    """Of a set, as nft writes them. Raises RulesNotApplied if there is no such set."""
    [found] = _listed(f"list set {family} {table} {name}", "set")
    return [str(entry["elem"]["val"]) for entry in found.get("elem", [])]


def tables() -> list[tuple[str, str]]:
    """Family and name of each. Raises RulesNotApplied."""
    return [(found["family"], found["name"]) for found in _listed("list tables", "table")]


def delete_table(family: str, table: str) -> None:
    """Nothing if there is none. Raises RulesNotApplied."""
    apply(f"add table {family} {table}\ndelete table {family} {table}\n")


def _listed(command: str, kind: str) -> list[dict[str, Any]]:
    with _context() as (library, context):
        library.nft_ctx_output_set_flags(context, JSON_OUTPUT)
        answer = json.loads(_run(library, context, command))
    return [entry[kind] for entry in answer["nftables"] if kind in entry]


def _run(library: ctypes.CDLL, context: int, text: str) -> bytes:
    failed = library.nft_run_cmd_from_buffer(context, text.encode("ascii"))
    if failed:
        message = library.nft_ctx_get_error_buffer(context) or b""
        shown = message.decode(errors="replace").strip()[:MAX_MESSAGE]
        raise RulesNotApplied(f"nftables refused a ruleset: {shown}")
    output: bytes = library.nft_ctx_get_output_buffer(context) or b""
    return output


@contextmanager
def _context() -> Iterator[tuple[ctypes.CDLL, int]]:
    library = _library()
    with _lock:
        context = library.nft_ctx_new(0)
        if not context:
            raise RulesNotApplied("nftables cannot be asked: no netlink socket")
        try:
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            yield library, context
        finally:
            library.nft_ctx_free(context)


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise RulesNotApplied(f"nftables' library is not installed: {error}") from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    for name in ("nft_ctx_get_error_buffer", "nft_ctx_get_output_buffer"):
        getattr(library, name).restype = ctypes.c_char_p
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library
