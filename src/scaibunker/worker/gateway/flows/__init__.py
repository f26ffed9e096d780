"""The record of a machine's flows: what the kernel and the gateway's parts say of them, as lines of JSON in a folder.

`tracking` and `refusals` read what the kernel says, `records` makes lines, `journal` gathers them in bounded memory,
`spool` keeps them on disk until the daemon has uploaded them, and `part` is what the gateway starts.
"""
