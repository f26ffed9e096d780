"""Measurements, each beside a floor from the same run. They judge nothing and never fail a suite.

`python -m benchmarks` prints a table and writes JSON. `bare` is the floor: one machine driven by the
worker's own parts, with no API above it. `python -m benchmarks.reads` measures the API alone, on MariaDB, beside
a bare route.
"""
