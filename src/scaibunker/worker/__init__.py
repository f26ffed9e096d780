"""The host daemon: runs the microVMs of one host, and nothing else decides here.

Start at `daemon.py`, which puts the parts together. `machines` is the life of one machine, `vmm` how a
virtual machine is run, `guest` how its agent is spoken to, `api` what the controller may ask,
`report` what the controller is told, `recover` what a new daemon finds from the old one.
"""
