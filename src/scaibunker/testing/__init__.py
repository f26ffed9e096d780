"""Simulated workers: the real worker daemon on hosts that exist in memory, many in one process.

`host` is where to begin: one host with its daemon, which can be killed, started again and made to
misbehave (`faults`, `lies`). What the daemon is handed instead of QEMU, control groups and disks is in
`hardware`; `link` leads to the machines' guests, which are `guest`, `commands` and `files`. `lives` makes
a daemon end as a killed process ends. The product never imports any of it.
"""
