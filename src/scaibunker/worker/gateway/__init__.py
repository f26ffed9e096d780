"""The gateway: the process through which names are resolved, permitted connections are dialled, and flows recorded.

One for each worker, a process of its own that outlives the daemon and has few rights. The daemon hands it, over a UNIX
socket, an attachment for each machine: sockets that it opened inside the machine's namespace, and the policy.
"""
