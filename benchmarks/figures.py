"""Figures and how they are shown."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`; `floor` the same thing without our layers, in the same run; `samples` counts."""

    name: str
    value: float
    unit: str
    samples: int
    p95: float | None = None
    floor: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None


def from_samples(
    name: str, samples: Sequence[float], unit: str, floor: Sequence[float] | None = None
) -> Figure:
    """The median of the samples, beside the median of the floor's."""
    ordered = sorted(samples)
    return Figure(
        name=name,
        value=statistics.median(ordered),
        unit=unit,
        samples=len(ordered),
        p95=ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))],
        floor=statistics.median(floor) if floor else None,
    )


def show(figures: Sequence[Figure]) -> None:
    """A table for people."""
    table = Table(title="ScaiBunker benchmarks")
    for column in ("figure", "p50", "p95", "floor", "ratio", "unit", "n"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for figure in figures:
        table.add_row(
            figure.name,
            _number(figure.value),
            _number(figure.p95),
            _number(figure.floor),
            _number(figure.ratio),
            figure.unit,
            str(figure.samples),
        )
    Console(width=110).print(table)


def this_host() -> dict[str, object]:
    """What figures are measured on; the load is that of now."""
    return {
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def save(figures: Sequence[Figure], host: dict[str, object], path: Path) -> None:
    """The same as JSON, with what it was measured on."""
    rows = [{**asdict(figure), "ratio": figure.ratio} for figure in figures]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": host, "figures": rows}, indent=2) + "\n")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
