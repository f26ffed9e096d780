"""What workers that are gone for good have left on this host: found, and taken away when an operator says so.

`note` is where a worker keeps its data, written down while there is something of it on the host; `survey` finds
whose things are here, and whether somebody will come back for them; `reclaim` takes them away.
"""
