"""What callers and the controller say to each other: the public HTTP API.

One file per concept, the same names as the controller's rooms. `envelope` is around all of it.
"""

BASE_PATH = "/v1/modules/scaibunker"
