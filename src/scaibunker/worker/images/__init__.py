"""Images on this host: `cache` holds them by their SHA-256."""
