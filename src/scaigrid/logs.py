"""Logging: one JSON object a line on stderr, never a secret, never a request body.

Every line that a request causes has its `request_id` and, once the caller is known, `tenant_id`
and `user_id`; a line of the platform's own work has `system`, the name of that work.
"""

import logging
import re
import sys

import structlog

from scaigrid.operation import Caller, System
from scaigrid.redaction import redact

_NOISE = re.compile(r"Name '\w+' ignored for PRIMARY key\.?")
"""MariaDB's answer to every table of a migration whose primary key has a name elsewhere."""


def configure(level: str = "INFO") -> None:
    """Set up structlog for the process; libraries' own records above `level` come along."""
    threshold = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forward()], level=max(threshold, logging.WARNING), force=True)
    logging.getLogger("asyncmy").addFilter(is_worth_a_line)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """False for what a driver says of every table that a migration makes."""
    return _NOISE.fullmatch(record.getMessage()) is None


def of_request(request_id: str) -> None:
    """From here on, lines of this task and of those that it starts belong to the request."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)


def of_trace(trace_id: str) -> None:
    """The trace that the request is part of."""
    structlog.contextvars.bind_contextvars(trace_id=trace_id)


def of_caller(caller: Caller | System) -> None:
    """Whose request it is, once that is proven."""
    if isinstance(caller, Caller):
        structlog.contextvars.bind_contextvars(tenant_id=caller.tenant_id, user_id=caller.user_id)
    else:
        structlog.contextvars.bind_contextvars(system=caller.name)


def of_system(name: str) -> None:
    """From here on, lines of this task belong to work of the platform's own, whoever caused it."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(system=name)


def of_nobody() -> None:
    """The request is over."""
    structlog.contextvars.clear_contextvars()


class _Forward(logging.Handler):
    """Hands records of the standard library's loggers to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record's message; a traceback as text."""
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info)
