"""What is raised for settings that the process cannot start with."""


class SettingsError(Exception):
    """A setting has a wrong value. The message names it and the rule, never the value."""
