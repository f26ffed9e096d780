"""Groups of users, which nest."""
