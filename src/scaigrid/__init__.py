"""ScaiGrid: the host platform. Tenancy, identity, HTTP conventions, database and modes.

It knows nothing of bunkers; those are a module (`scaibunker.controller`) that declares
itself to ScaiGrid. Start reading at `modes.py`, then `app.py` and `module.py`.
"""
