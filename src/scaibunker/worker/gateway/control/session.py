"""The daemon's side of one connection to a gateway."""

import asyncio
import itertools
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ValidationError

from scaibunker.worker.gateway.control.channel import Broken, Channel
from scaibunker.worker.gateway.control.messages import Answer


class Session:
    """Many may ask at once. It is over when the gateway is, or does not speak as it should."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._over = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name="gateway-session")

    async def ask(self, make: Callable[[int], BaseModel], files: Sequence[int] = ()) -> Answer:
        """Send what `make` makes for a number, and wait for its answer. Raises Broken."""
        if self._over.is_set():
            raise Broken("the gateway is gone")
        number = next(self._numbers)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self._channel.send(make(number).model_dump_json().encode(), files)
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def over(self) -> None:
        await self._over.wait()

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while True:
                body, _ = await self._channel.receive()
                answer = Answer.model_validate_json(body)
                waiting = self._waiting.get(answer.id)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except (Broken, ValidationError):
            pass
        finally:
            self._over.set()
            self._channel.close()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(Broken("the gateway is gone"))
