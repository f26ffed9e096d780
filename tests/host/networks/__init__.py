"""Networks of this worker without machines, and with a gateway that only notes what it is asked."""
