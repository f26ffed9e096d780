"""Workers: who is there, what they report, and how they are asked.

`service` takes heartbeats in, `fleet` remembers what they said about machines, `client` is the
only thing that talks to a worker.
"""
