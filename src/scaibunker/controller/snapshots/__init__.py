"""Snapshots: copies of bunkers that outlive them, from the order to the last object that is deleted."""
