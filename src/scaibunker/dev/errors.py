"""Why the stack cannot start."""


class StartFailed(Exception):
    """The message says why and what to do."""
