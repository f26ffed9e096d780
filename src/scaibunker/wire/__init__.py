"""Every contract that two processes share. Imports nothing of ours.

`api` is what callers and the controller say to each other, `worker` what controller and
worker daemon say, `guest` what worker and guest agent say; `codes` are the error codes
that all of them use.
"""
