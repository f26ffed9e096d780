"""The command line: `scaibunker`. Stands on the SDK alone; the base install has all it needs.

`main` is the entry, `app` the table of commands, `commands` one file per verb. What a command can
rely on (a client, the way to print) is `session`; how errors end a command is `failures`.
"""
