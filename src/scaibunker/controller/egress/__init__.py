"""What bunkers have sent to whom: the batches of records that workers have stored. They are read here, and never deleted."""
