"""What a machine takes of the host beside what its bunker was promised."""

VMM_THREADS = 128
"""Threads of one VMM process at most: vCPUs, I/O workers, its main loop."""

BOOT_CPU_MILLICORES = 1000
"""A machine boots with a whole core per vCPU at least; its own share applies once it runs."""

VMM_CPU_MILLICORES = 100
"""What the VMM's own threads may use beside the vCPUs, so that I/O does not eat the guest's share."""
