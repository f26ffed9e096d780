"""Rate limits: how often a caller may call, and how often a stranger may guess. All replicas share
the windows, in Redis; while it is away, nobody is limited."""
