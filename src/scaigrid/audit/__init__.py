"""The audit log: who changed what, from where, and who was refused."""
