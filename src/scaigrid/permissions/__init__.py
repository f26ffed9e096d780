"""Who may do what: roles, the keys that modules declare, and custom roles that carry keys."""
