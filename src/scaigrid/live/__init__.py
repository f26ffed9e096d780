"""Redis: live state that all replicas share and that may be wiped at any time (`store`), and
hints from replica to replica (`bus`). No durable fact is only here."""
