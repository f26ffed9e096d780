"""What a bunker may reach, probed from inside a real microVM by root: the table of probes, and the program that runs them."""
