"""The life of machines: `fleet` holds them, `machine` is one, `plan` and `steps` build it and take it down."""
