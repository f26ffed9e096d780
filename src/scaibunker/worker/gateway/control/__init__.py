"""What daemon and gateway say to each other: frames of JSON with open sockets, over a UNIX socket of the runtime folder."""
