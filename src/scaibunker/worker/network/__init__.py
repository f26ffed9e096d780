"""The networks of this worker's machines: what each may reach, enforced outside its guest.

`port.py` is what the rest of the worker sees of it. Frames pass through a namespace of the machine's own (a slot);
names, TLS and HTTP are judged by the gateway (`scaibunker.worker.gateway`), a process that outlives the daemon.
"""
