"""Files that are a machine's disks."""
