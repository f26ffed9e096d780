"""`scaibunker-worker`: reads the settings, runs the daemon, turns signals into a clean stop."""

import asyncio
import signal
import sys

import structlog
import uvloop
from pydantic import ValidationError

from scaibunker.worker.daemon import Daemon
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.settings import WorkerSettings

EXIT_FAILED = 1
EXIT_SETTINGS = 2


def main() -> None:
    """Entry point."""
    _set_up_logging()
    try:
        settings = WorkerSettings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            print(f"SCAIBUNKER_WORKER_{name}: {problem['msg']}", file=sys.stderr)
        sys.exit(EXIT_SETTINGS)
    try:
        uvloop.run(_run(settings))
    except WorkerFault as fault:
        print(f"scaibunker-worker: {fault.message}", file=sys.stderr)
        sys.exit(EXIT_FAILED)


async def _run(settings: WorkerSettings) -> None:
    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    await daemon.run()


def _set_up_logging() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    main()
