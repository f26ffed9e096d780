"""`python -m benchmarks.scale`: simulate a day, print what came of it, and write it as JSON.

SIGTERM ends the day early: what there is by then is written all the same.
"""

import argparse
import json
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.scale.run import Options, simulate


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Options()
    parser.add_argument("--json", type=Path, default=Path("build/scale.json"))
    for each in fields(Options):
        name, value = f"--{each.name.replace('_', '-')}", getattr(default, each.name)
        if isinstance(value, bool):
            parser.add_argument(name, action=argparse.BooleanOptionalAction, default=value)
        elif each.name == "strategy":
            parser.add_argument(name, choices=("spread", "pack"), default=value)
        else:
            parser.add_argument(name, type=type(value), default=value)
    given = vars(parser.parse_args())
    path: Path = given.pop("json")
    interrupted: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: interrupted.append(number))
    results = uvloop.run(simulate(Options(**given), _say, lambda: bool(interrupted)))
    _say(summary(results))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {path}")
    return 0


def summary(results: dict[str, Any]) -> str:
    """A few lines for people."""
    total, measured = results["outcome"]["total"], results["measured"]
    placed, refused = measured["placed"], measured["refused"]
    lines = [
        f"{total['asked']:,} asked for, {total['made']:,} made, "
        f"{sum(total['over_quota'].values()):,} over quota, "
        f"{sum(total['refused'].values()):,} without a place (one worker of all: {total['refused_pooled']:,})",
        f"placed: {placed['count']:,} decisions, {placed.get('per_s', 0):,.0f}/s, "
        f"p50 {placed.get('p50_us', 0):,.0f} µs, p99 {placed.get('p99_us', 0):,.0f} µs",
        f"refused: {refused['count']:,} decisions, "
        f"p50 {refused.get('p50_us', 0):,.0f} µs, p99 {refused.get('p99_us', 0):,.0f} µs",
        f"quotas: {measured['judged']:,} judged, {measured['judged_per_s']:,.0f}/s",
        f"left at the end: {results['outcome']['left']}; {measured['wall_s']:,.0f} s",
    ]
    lines += [f"  {count:,} x {why}" for why, count in sorted(total["refused"].items())]
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
