"""The entry of the command line."""

import os
import sys
from collections.abc import Sequence

from scaibunker.cli.app import app
from scaibunker.cli.surroundings import Surroundings


def main(argv: Sequence[str] | None = None, surroundings: Surroundings | None = None) -> int:
    """Run a command line; gives the exit code."""
    try:
        app(
            args=None if argv is None else list(argv),
            prog_name="scaibunker",
            obj=surroundings or Surroundings(os.environ),
        )
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
