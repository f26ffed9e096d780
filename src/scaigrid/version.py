"""Which version this is: that of the distribution which holds the platform and its first module."""

from importlib.metadata import version

VERSION = version("scaibunker")
