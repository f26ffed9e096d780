"""What bunkers use: how long they held what (`domain`), what they have sent (`egress`), and the ticks
that tell the platform of it once a minute (`ticks`)."""
