"""Which worker takes a bunker: a pure choice over what is known of the workers."""
