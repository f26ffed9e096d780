"""What runs in the background at its times, once whatever the number of processes.

Tasks are declared by modules (`domain`); a table says what is done and who is at it (`repository`);
`runner` does what is due, woken by Redis (`queue`) or by itself, in the process of
`SCAIGRID_MODE=worker` (`process`).
"""
