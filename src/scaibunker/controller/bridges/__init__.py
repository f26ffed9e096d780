"""Bridges: what `transit` bunkers are plugged into, each on the worker that it was asked for.

`create` and `remove` are what callers do; `ports` is what a new bunker takes of bridges; `reconcile` finishes
what was begun, and keeps rows and workers in step.
"""
