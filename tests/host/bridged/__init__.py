"""Frames made by hand, and ports of bridges to send them by."""
