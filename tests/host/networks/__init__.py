"""Networks of this worker without machines: a plain ruleset and a gateway that only notes what it is asked."""
