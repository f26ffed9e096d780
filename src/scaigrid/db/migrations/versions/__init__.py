"""The platform's revisions, oldest first by name."""
