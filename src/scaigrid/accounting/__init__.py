"""What was used: one tick for each minute of each resource, and sums over them."""
