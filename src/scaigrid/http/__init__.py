"""The HTTP conventions: envelope, errors, paging, limits, idempotency, event streams.

`routes` is where an operation is declared: one declaration enforces the permission, the body limit
and idempotency, and documents them.
"""
