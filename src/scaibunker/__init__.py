"""ScaiBunker: sandboxed compute, one microVM per bunker, driven over HTTP.

`wire` holds what processes say to each other; `controller` decides; `worker` runs the
machines; `storage` keeps bytes; `artifacts` builds what machines boot from; `sdk` and `cli`
are for callers; `dev` runs everything in one command.
"""

__version__ = "0.1.0"
