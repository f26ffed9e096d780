"""Bunkers: the resource, its life, and what keeps reality in step with it.

`lifecycle` has the states, `domain` the record, `request` the rules of what may be asked for.
`create`, `change` and `reading` are what callers do; `decide` and `reconcile` bring a
bunker to where it should be; `states` is the one writer of a status.
"""
