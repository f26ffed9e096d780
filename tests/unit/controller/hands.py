"""A clock that goes when a test moves it."""

from datetime import datetime

from tests.unit.controller.builders import NOW


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return self.seconds
