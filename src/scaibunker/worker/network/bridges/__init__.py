"""Bridges for `transit` machines: each in a namespace of its own, so that no frame ever meets the host's stack.

`rules` says which frames pass, `layout` does things inside a bridge's namespace, `host` keeps the bridges of this worker,
and `transit` plugs machines in.
"""
