"""Snapshots of machines: `jobs` makes them, `restoring` reads them, `packing` is their form on the way.

The copying of a machine itself is `machines.capture`.
"""
