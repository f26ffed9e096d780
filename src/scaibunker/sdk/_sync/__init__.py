# Generated from _async/__init__.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""The blocking client, generated from `_async`, file by file."""
