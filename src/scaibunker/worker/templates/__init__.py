"""Warm starts: machines that were booted once, ahead of the bunkers that are made of them."""
