"""Running a virtual machine: `port` says what callers may ask, a folder per driver answers it."""
