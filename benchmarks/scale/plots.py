"""A run's figures as pictures. Needs `benchmarks/requirements.txt`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams |= {"svg.hashsalt": "scale", "svg.fonttype": "none", "font.size": 9}

from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

Days = Mapping[str, Mapping[str, Any]]
Line = Callable[[Mapping[str, Any]], float]


def all_of(days: Days, folder: Path) -> None:
    """Every picture. Demand is that of the first day, refusals those of the one that got furthest."""
    main = next(iter(days.values()))
    furthest = max(days.values(), key=lambda day: len(day["outcome"]["parts"]))
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder / "demand.svg", *_demand(main))
    _save(folder / "refusals.svg", *_refusals(furthest))
    _save(folder / "used.svg", *_by_day(days, "CPU in use, share", lambda f: f["cpu_used"]))
    _save(
        folder / "balance.svg",
        *_by_day(days, "how full workers are: standard deviation", lambda f: f["spread"]),
    )
    _save(
        folder / "empty.svg",
        *_by_day(
            days,
            "workers without a bunker, share",
            lambda f: f["empty_workers"] / f["open_workers"],
        ),
    )
    _save(folder / "fragmentation.svg", *_by_day(days, "largest shape: lost places, share", _lost))


def _demand(day: Mapping[str, Any]) -> tuple[Any, Any]:
    parts, figure, axes = day["outcome"]["parts"], *plt.subplots(figsize=(7, 2.8))
    hours, each = [part["at"] / 3600 for part in parts], _length(day)
    axes.plot(hours, [part["counts"]["asked"] / each for part in parts], label="creates a second")
    axes.set_ylabel("creates a second")
    other = axes.twinx()
    other.plot(hours, [part["fleet"]["bunkers"] for part in parts], "C1", label="live bunkers")
    other.set_ylabel("live bunkers")
    other.set_ylim(0)
    figure.legend(loc="upper left", bbox_to_anchor=(0.12, 0.95), frameon=False)
    return figure, axes


def _refusals(day: Mapping[str, Any]) -> tuple[Any, Any]:
    parts, figure, axes = day["outcome"]["parts"], *plt.subplots(figsize=(7, 2.8))
    hours = [part["at"] / 3600 for part in parts]
    lines: dict[str, Line] = {
        "over quota": lambda counts: sum(counts["over_quota"].values()),
        "no place": lambda counts: sum(counts["refused"].values()),
        "no place on one worker of all": lambda counts: counts["refused_pooled"],
    }
    for name, line in lines.items():
        shares = [line(part["counts"]) / max(1, part["counts"]["asked"]) for part in parts]
        axes.plot(hours, shares, label=name)
    axes.set_ylabel("share of creates")
    axes.legend(frameon=False)
    return figure, axes


def _by_day(days: Days, label: str, line: Line) -> tuple[Any, Any]:
    figure, axes = plt.subplots(figsize=(7, 2.4))
    for name, day in days.items():
        parts = day["outcome"]["parts"]
        axes.plot([p["at"] / 3600 for p in parts], [line(p["fleet"]) for p in parts], label=name)
    axes.set_ylabel(label, fontsize=8)
    axes.legend(frameon=False)
    return figure, axes


def _lost(fleet: Mapping[str, Any]) -> float:
    """Of the places for the largest shape that what is free would make, those that there are not."""
    return 1 - fleet["fits"]["largest"] / max(1, fleet["fits_pooled"]["largest"])


def _length(day: Mapping[str, Any]) -> float:
    parts = day["outcome"]["parts"]
    return float(parts[1]["at"] - parts[0]["at"])


def _save(path: Path, figure: Any, axes: Any) -> None:
    axes.set_xlabel("hour of the day")
    axes.set_ylim(0)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
