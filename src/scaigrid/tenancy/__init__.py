"""Tenants and users. `scope` answers the one question of what a caller may reach."""
