"""Commands and files: bytes between a caller and a bunker, by way of its worker.

`target` finds the bunker, `start` makes the request for a command, `frames` reads its answer.
A command is `plain` (one answer), `stream` (events) or `detached`; all are in the log
(`exec_log`). `files` passes file operations through.
"""
