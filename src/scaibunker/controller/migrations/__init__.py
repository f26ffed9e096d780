"""The module's revisions of the schema."""
