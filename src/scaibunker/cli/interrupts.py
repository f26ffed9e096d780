"""Ctrl-C, SIGTERM and SIGHUP: the first one ends the work, what was begun is cleaned up all the same.

While something is being cleaned up a signal only warns; the one after it gives up.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal arrived. Not an Exception: nothing that handles errors is to swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interrupts:
    """Use it in a `with`: inside, the signals raise `Interrupted` in the main thread.

    A signal that is being ignored (`nohup`, a background job) stays ignored. `warn` is called, with
    a text, for a signal that comes while cleaning up.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._cleaning = False
        self._warned = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # signals are the main thread's business
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN and handler is not None:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def cleaning_up(self) -> Iterator[None]:
        """Inside, one signal is let pass with a warning."""
        before, self._cleaning = self._cleaning, True
        try:
            yield
        finally:
            self._cleaning = before

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._cleaning and not self._warned:
            self._warned = True
            self._warn("still cleaning up; once more to leave things as they are")
            return
        # From the first signal on, everything that still runs is cleaning up.
        self._cleaning = True
        raise Interrupted(number)
