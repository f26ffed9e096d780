"""`python -m benchmarks.scale.report`: results as the tables and pictures of `docs/scale.md`.

The first day is the one that is written of most; others stand beside it. Everything between `<!-- NAME -->`
and `<!-- end -->` is written anew. Needs `benchmarks/requirements.txt`.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.scale import plots, tables


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--day", action="append", required=True, help="NAME=FILE", metavar="DAY")
    parser.add_argument("--stores", type=Path, required=True)
    parser.add_argument("--page", type=Path, default=Path("docs/scale.md"))
    given = parser.parse_args()
    named = (each.partition("=") for each in given.day)
    days = {name: json.loads(Path(file).read_text()) for name, _, file in named}
    first, stores = next(iter(days.values())), json.loads(given.stores.read_text())
    made = {
        "creates": lambda: tables.creates(days),
        "decisions": lambda: tables.decisions(days),
        "placement": lambda: tables.placement(days),
        "costs": lambda: tables.costs(stores),
        "load": lambda: tables.load(first, stores),
    }
    given.page.write_text(filled(given.page.read_text(), made))
    plots.all_of(days, given.page.parent / "scale")
    return 0


def filled(page: str, made: dict[str, Callable[[], str]]) -> str:
    """The page with its tables made anew. Raises KeyError for one that nobody makes."""

    def one(found: "re.Match[str]") -> str:
        return f"<!-- {found[1]} -->\n{made[found[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", one, page, flags=re.DOTALL)


if __name__ == "__main__":
    sys.exit(main())
