"""Who has which address in the lab."""

HOST_V4 = "198.51.100.2"
HOST_V6 = "2001:db8:ffff::2"
"""The worker's host, on its uplink."""
ROUTER_V4 = "198.51.100.1"
ROUTER_V6 = "2001:db8:ffff::1"
"""The world's end of it."""

SITES_V4 = "203.0.113.0/24"
SITES_V6 = "2001:db8:1::/48"
"""Public addresses of the world. All of them serve."""
INTRANET_V4 = "10.99.0.0/16"
INTRANET_V6 = "fd99::/64"
"""Private ranges behind the host."""

METADATA_V4 = "169.254.169.254"
METADATA_V6 = "fd00:ec2::254"
RESOLVER_V4 = "203.0.113.53"
RESOLVER_V6 = "2001:db8:1::53"
"""The one that the host uses."""
OTHER_DNS_V4 = "203.0.113.54"
OTHER_DNS_V6 = "2001:db8:1::54"
"""One that a guest might like better."""
PEER_V4 = "203.0.113.20"
PEER_V6 = "2001:db8:1::20"
CONTROLLER_V4 = "203.0.113.30"
CONTROLLER_V6 = "2001:db8:1::30"
FIRST_SITE = 100
"""Last part of the addresses that `Lab.site` gives out, counted from here."""

WORLD = (SITES_V4, SITES_V6, INTRANET_V4, INTRANET_V6, METADATA_V4, METADATA_V6)
