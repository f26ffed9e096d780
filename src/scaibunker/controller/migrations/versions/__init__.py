"""Revisions, oldest first by name. The first one depends on the platform's first."""
