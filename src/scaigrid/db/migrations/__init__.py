"""Alembic's environment and the platform's own revisions."""
