"""The controller as a whole: the real application on a real database, with simulated workers."""
