"""What is asked for one name is done one after the other, in the order of asking; names do not wait for one another."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class _Turn:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted_by = 0


class Turns:
    """Forgets a name when nobody waits for it."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}

    @contextlib.asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(name, _Turn())
        turn.wanted_by += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.wanted_by -= 1
            if not turn.wanted_by:
                del self._turns[name]
