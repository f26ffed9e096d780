"""Programs for guests, in Python: what a tenant would install, small enough to be given on standard input."""

ADDRESS = r"""
import fcntl, socket, struct, sys
name, address = sys.argv[1].encode(), sys.argv[2]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def request(number, text):
    sockaddr = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))
    fcntl.ioctl(s, number, struct.pack("16s16s8x", name, sockaddr))
if address != "none":
    request(0x8916, address)          # SIOCSIFADDR
    request(0x891C, "255.255.255.0")  # SIOCSIFNETMASK
flags = struct.unpack("16sH14x", fcntl.ioctl(s, 0x8913, struct.pack("16s16x", name)))[1]
fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", name, flags | 0x1))  # up
"""
"""`NAME ADDRESS`: an interface is up, with that address of a /24; without one for `none`."""

SERVER = r"""
import socket, sys, threading
def serve(port):
    listening = socket.create_server(("", port))
    while True:
        connection, peer = listening.accept()
        connection.sendall(f"{port} for {peer[0]}\n".encode())
        connection.close()
for port in sys.argv[1:-1]:
    threading.Thread(target=serve, args=(int(port),)).start()
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("", int(sys.argv[-1])))
print("serves", flush=True)
while True:
    data, peer = datagrams.recvfrom(2000)
    datagrams.sendto(b"echo " + data, peer)
"""
"""`PORT... PORT`: says which port it is, and for whom, to all who connect; the last port echoes UDP."""

ASK = r"""
import socket, sys
kind, address, port, wait_s = sys.argv[1:5]
try:
    if kind == "tcp":
        with socket.create_connection((address, int(port)), timeout=float(wait_s)) as connection:
            print(connection.makefile().readline(), end="")
    else:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(float(wait_s))
        s.sendto(b"hello", (address, int(port)))
        print(s.recv(2000).decode())
except OSError as error:
    print("nothing:", type(error).__name__)
"""
"""`tcp|udp ADDRESS PORT SECONDS`: what is said there."""

FIREWALL = r"""
import select, socket, struct, sys
PERMITTED = {int(port) for port in sys.argv[3:]}
HEADER = 10  # of virtio: offloads that are still to be done are passed on as they are
sides = []
for name in sys.argv[1:3]:
    side = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    side.setsockopt(263, 15, 1)  # PACKET_VNET_HDR
    side.bind((name, 0))
    everybodys = struct.pack("iHH8s", socket.if_nametoindex(name), 1, 0, b"")
    side.setsockopt(263, 1, everybodys)  # promiscuous
    sides.append(side)
def passes(frame):
    kind = frame[12:14]
    if kind == b"\x08\x06":
        return True
    if kind != b"\x08\x00" or frame[23] != 6:
        return False  # neither ARP nor TCP over IPv4
    at = 14 + (frame[14] & 15) * 4
    return not PERMITTED.isdisjoint(struct.unpack(">HH", frame[at:at + 4]))
print("passes on", flush=True)
while True:
    ready, _, _ = select.select(sides, [], [])
    for side in ready:
        data, where = side.recvfrom(70000)
        if where[2] != 4 and passes(data[HEADER:]):  # not what we have sent ourselves
            sides[1 - sides.index(side)].send(data)
"""
"""`NAME NAME PORT...`: passes frames from one interface to the other and back, if they are ARP, or TCP of one of these ports.
It has no address, and sends in nobody's name but that of who has sent."""

FORGE = r"""
import socket, sys
name, frames = sys.argv[1], sys.argv[2:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((name, 0))
for frame in frames:
    s.send(bytes.fromhex(frame))
"""
"""`NAME FRAME...`: sends them as they are."""

HEAR = r"""
import socket, sys
name, wanted = sys.argv[1], bytes.fromhex(sys.argv[2])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((name, 0))
s.settimeout(60)
print("hears", flush=True)
while True:
    frame = s.recv(70000)
    print(frame.hex(), flush=True)
    if frame.startswith(wanted):
        break
"""
"""`NAME BEGIN`: prints what arrives, until a frame does that begins so."""
