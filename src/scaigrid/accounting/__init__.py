"""What was used: one tick for each minute of each resource (`ledger`), and sums over them (`sums`).

Modules write ticks from a background task; the platform knows no more of their resources than ids.
"""
