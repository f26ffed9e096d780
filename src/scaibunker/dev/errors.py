"""Why the stack does not start."""


class StartFailed(Exception):
    """The message says why and what to do."""


class StartStopped(Exception):
    """A signal came before there was anything to stop."""
