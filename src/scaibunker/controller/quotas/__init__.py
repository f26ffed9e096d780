"""Quotas: how much of the fleet users and groups may hold.

`domain` has the rules: profiles, their assignments, the buckets that are counted and what a bunker
takes of each. `repository` is the SQL of profiles and assignments, `holds` that of what bunkers hold.
"""
