"""Images: what a bunker's root file system is made from."""
