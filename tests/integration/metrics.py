"""Metrics as they are scraped."""

from collections.abc import Callable

from tests.integration.stack import Stack
from tests.waiting import until


def samples(text: str) -> dict[str, float]:
    """Values by name and labels, as they are written."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def scraped(stack: Stack, good: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """The metrics once they are so."""
    found: dict[str, float] = {}

    async def so() -> bool:
        response = await stack.call("GET", "/metrics", None)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        found.update(samples(response.text))
        return good(found)

    await until(so, what=lambda: f"metrics to be so; they are {found}")
    return found
