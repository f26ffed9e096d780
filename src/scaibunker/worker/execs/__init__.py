"""Commands of a machine as the worker handles them.

`relay` passes a command's frames straight to a caller that waits; `spool` keeps one on disk for callers
that come later; `spools` are all of a machine's.
"""
