"""What runs on behalf of one daemon, so that it can end as a process ends that is killed.

Every task knows its life by a context variable, which the tasks that it starts inherit. A life that is
over is cancelled in all its tasks, and what it had been handed of its host does nothing any more: what
a `finally` still tries has no effect.
"""

import asyncio
import contextvars
from collections.abc import Coroutine, Generator
from contextvars import Context, ContextVar
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")

ENDS_WITHIN_S = 10.0
"""Seconds until tasks that were cancelled must have ended."""

_life: ContextVar["Life | None"] = ContextVar("scaibunker_testing_life", default=None)


class Life:
    """One daemon's, from its start to its end."""

    def __init__(self) -> None:
        self.over = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._transports: WeakSet[asyncio.Transport] = WeakSet()

    def run(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begin it: `work` and all that it starts are of this life."""
        return _begin(work, self, name)

    def check(self) -> None:
        """For what the host does for the daemon: raises CancelledError in what is left of a dead one."""
        if self.over:
            raise asyncio.CancelledError

    def holds(self, transport: asyncio.Transport | None) -> None:
        """A connection that breaks when the life ends."""
        if transport is not None:
            self._transports.add(transport)

    def end(self) -> None:
        """From now on nothing of it has any effect. Not to be called by a task of its own."""
        self.over = True
        for transport in list(self._transports):
            transport.abort()
        for task in list(self._tasks):
            task.cancel()

    async def ended(self) -> None:
        """Wait until its tasks are gone. Raises RuntimeError if one of them will not go."""
        deadline = asyncio.get_running_loop().time() + ENDS_WITHIN_S
        while self._tasks:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                names = sorted(task.get_name() for task in self._tasks)
                raise RuntimeError(f"tasks of a daemon that was killed go on: {', '.join(names)}")
            await asyncio.wait(list(self._tasks), timeout=left)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task that this life's work has started."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard, context=Context())


def detached(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """A task of no life: of the host itself, which goes on when its daemon dies."""
    return _begin(work, None, name)


def _begin(work: Coroutine[Any, Any, T], life: Life | None, name: str) -> asyncio.Task[T]:
    loop = asyncio.get_running_loop()
    _watch(loop)
    context = contextvars.copy_context()
    context.run(_life.set, life)
    return loop.create_task(work, name=name, context=context)


def _watch(loop: asyncio.AbstractEventLoop) -> None:
    """Have the loop tell every new task's life of it."""
    former = loop.get_task_factory()
    if isinstance(former, _Factory):
        return
    if former is not None:
        raise RuntimeError("the event loop has a task factory of somebody else's")
    loop.set_task_factory(_Factory())


class _Factory:
    """Makes tasks as the loop itself does."""

    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, T] | Generator[Any, None, T],
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = asyncio.Task(work, loop=loop, context=context)
        life = _life.get() if context is None else context.get(_life)
        if life is not None:
            life.adopt(task)
        return task
