"""The asyncio client, written by hand. `_sync` is generated from it, file by file.

Write nothing here that only asyncio can do: `scripts/generate_sdk_sync.py` replaces words, it does
not understand them. What differs between the two is in `_runtime`.
"""
