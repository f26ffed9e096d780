"""What runs in the background at its times, once whatever the number of processes."""
