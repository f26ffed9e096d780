"""Names for machines: each has a resolver of its own, at its gateway's addresses; nothing carries over to another."""
