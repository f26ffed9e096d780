"""Long work on files in a thread of its own, which ends when nobody waits for it any more.

Not in asyncio's pool: that has few threads, and work that waits there for other work that waits for a
place would wait for ever.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

Work = Callable[[threading.Event], T]


class Stopped(Exception):
    """The work was given up; raised by it when it sees the event."""


def check(stop: threading.Event) -> None:
    """For the work, now and then. Raises Stopped."""
    if stop.is_set():
        raise Stopped


async def in_thread(work: Work[T]) -> T:
    """Do it. A cancel sets the event and waits until the work has ended: it touches nothing afterwards."""
    stop = threading.Event()
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def run() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone, and whoever waited with it
            try:
                result = context.run(work, stop)
            except BaseException as error:
                loop.call_soon_threadsafe(_fail, ended, error)
            else:
                loop.call_soon_threadsafe(_succeed, ended, result)

    threading.Thread(target=run, name="file work", daemon=True).start()
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        stop.set()
        while not ended.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([ended])
        ended.exception()  # it has been looked at
        raise


async def together(
    *works: Coroutine[Any, Any, None], broken: Callable[[], None] = lambda: None
) -> None:
    """Do all at once. The first that fails, or a cancel, ends the others, which `broken` has heard of
    before. Raises what the first one raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if pending:
            broken()
        first = next((t for t in tasks if t in done and _failure(t) is not None), None)
    except asyncio.CancelledError:
        broken()
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if first is not None:
        await first


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


def _succeed(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
