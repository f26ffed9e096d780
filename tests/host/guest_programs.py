"""Programs for guests, and whom they trust."""

CA = "/tmp/ca.pem"
GET = f"""
import json, ssl, sys, urllib.request
context = ssl.create_default_context(cafile="{CA}") if sys.argv[1].startswith("https") else None
try:
    with urllib.request.urlopen(sys.argv[1], timeout=20, context=context) as answer:
        print(answer.status, json.load(answer).get("host", ""))
except Exception as error:
    print(type(getattr(error, "reason", error)).__name__, error)
"""
"""Prints `200`, or the name of what went wrong."""
TALK = """
import socket, sys, time
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
sock.settimeout(60)
number = 0
while True:
    number += 1
    sock.sendall(b"%d\\n" % number)
    said = b""
    while not said.endswith(b"\\n"):
        more = sock.recv(1000)
        if not more:
            sys.exit("the other side has hung up")
        said += more
    print(number, flush=True)
    time.sleep(0.1)
"""
"""One connection; counts what has come back."""
