"""Noticing that a caller has gone away while its answer is being made."""

from starlette.types import Receive


async def until_gone(receive: Receive) -> None:
    """Until the caller's connection ends; what else comes from it is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass
