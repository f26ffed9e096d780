"""Runs in the guest, as root, with nothing but Python's standard library: does what it is told, and says how it went.

Standard input: a JSON list of `[id, kind, arguments]`. Standard output: a JSON object of id to `[result, detail]`; results are
`answer`, `refused` (it failed at once), `nothing` (until the time was over), `no way`, `sent` (of what has no answer), and
`broken` (the probe is wrong).
"""

import concurrent.futures
import errno
import json
import os
import socket
import ssl
import struct
import sys
import time
from pathlib import Path

LIMIT_S = float(os.environ.get("PROBE_LIMIT_S", "8"))
DEVICE = os.environ.get("PROBE_DEVICE", "eth0")
AT_ONCE = 6
NO_WAY = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENXIO)
REFUSALS = (
    errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM, errno.EPIPE,
    errno.ENOPROTOOPT,
)  # fmt: skip


class Refused(Exception):
    """It failed at once."""


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def packed(address):
    return socket.inet_pton(family(address), address)


def connected(address, port):
    sock = socket.socket(family(address), socket.SOCK_STREAM)
    sock.settimeout(LIMIT_S)
    sock.connect((address, port))
    return sock


def answered(data):
    if not data:
        raise Refused("closed without an answer")
    return data[:200].decode("latin-1")


# What DNS says


def question(name, kind, number=4660):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    return (
        struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0)
        + labels
        + b"\0"
        + struct.pack("!HH", kind, 1)
    )


def judged(answer, number=4660):
    got, flags, _, answers = struct.unpack_from("!HHHH", answer)
    code = flags & 15
    if got != number or code or not answers:
        raise Refused(f"code {code}, {answers} answers")
    return f"{answers} answers"


def dns(server, name, over="udp", kind=1):
    query = question(name, kind)
    if over == "udp":
        with socket.socket(family(server), socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT_S)
            sock.connect((server, 53))
            sock.send(query)
            return judged(sock.recv(4096))
    sock = connected(server, 853 if over == "tls" else 53)
    if over == "tls":
        sock = lax().wrap_socket(sock, server_hostname=None)
    with sock:
        sock.sendall(struct.pack("!H", len(query)) + query)
        head = sock.recv(2)
        if len(head) < 2:
            raise Refused("closed without an answer")
        return judged(sock.recv(4096))


def lax():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def looked_up(name, v6):
    """By the system's own resolver."""
    kind = socket.AF_INET6 if v6 else socket.AF_INET
    try:
        return socket.getaddrinfo(name, None, kind, socket.SOCK_STREAM)[0][4][0]
    except socket.gaierror as error:
        if not routed():
            raise OSError(errno.ENETUNREACH, "no route") from error
        raise Refused(str(error)) from error


def routed():
    """Whether there is any way out of here."""
    return len(Path("/proc/net/route").read_text().splitlines()) > 1


# What web clients do


def web(host, path, to=None, port=None, tls=False, v6=False, sni="", method="GET", also=None):
    """`to`: an address, or a name; None: of the host's name. `sni`: empty: the host; None: none. `also`: the Host of a second
    request on the same connection."""
    to = host if to is None else to
    if not (":" in to or to.replace(".", "").isdigit()):
        to = looked_up(to, v6)
    sock = connected(to, port or (443 if tls else 80))
    if tls:
        name = host if sni == "" else sni
        context = (
            lax() if name is None else ssl.create_default_context(cafile=os.environ["PROBE_CA"])
        )
        sock = context.wrap_socket(sock, server_hostname=name)
    with sock:
        if also:
            asked(sock, host, "/first", method)
            host = also
        return asked(sock, host, path, method)


def asked(sock, host, path, method):
    sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head, _, body = received(sock, b"", lambda data: b"\r\n\r\n" in data).partition(b"\r\n\r\n")
    lines = answered(head).split("\r\n")
    status = lines[0].split()[1]
    if status != "200":
        raise Refused(status)
    length = [int(x.split(":")[1]) for x in lines if x.lower().startswith("content-length")]
    received(sock, body, lambda data: len(data) >= (length or [0])[0])
    return status


def received(sock, data, enough):
    while not enough(data):
        more = sock.recv(4096)
        if not more:
            break
        data += more
    return data


def tcp(to, port, data):
    if not (":" in to or to.replace(".", "").isdigit()):
        to = looked_up(to, False)
    with connected(to, port) as sock:
        sock.sendall(data.encode())
        return answered(sock.recv(4096))


def udp(to, port, data):
    if not (":" in to or to.replace(".", "").isdigit()):
        to = looked_up(to, False)
    with socket.socket(family(to), socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT_S)
        sock.connect((to, port))
        sock.send(data.encode())
        return answered(sock.recv(4096))


# What needs packets of one's own


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(to, data, kind=8):
    v6 = ":" in to
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    with socket.socket(family(to), socket.SOCK_RAW, protocol) as sock:
        sock.settimeout(LIMIT_S)
        sock.setsockopt(*((41, 25, 1) if v6 else (0, 11, 1)))  # hear errors
        sock.connect((to, 0))
        body = struct.pack("!HH", os.getpid() & 0xFFFF, 1) + data.encode()
        head = struct.pack("!BBH", 128 if v6 else kind, 0, 0)
        total = 0 if v6 else checksum(head + body)
        sock.send(head[:2] + struct.pack("!H", total) + body)
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            got = sock.recv(4096)
            got = got if v6 else got[20:]
            if data.encode() in got and got[0] in (0, 14, 129):
                return "a reply"
            if got[0] in (1, 3) and got[1] in (1, 10, 13):
                raise Refused("prohibited")
        raise TimeoutError()


def own(name):
    try:
        return Path("/sys/class/net", DEVICE, name).read_text().strip()
    except FileNotFoundError as error:
        raise OSError(errno.ENODEV, "no device") from error


def raw_socket(kind=0x0003):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
    sock.bind((DEVICE, kind))
    everything = struct.pack("iHH8s", socket.if_nametoindex(DEVICE), 1, 0, b"")
    sock.setsockopt(263, 1, everything)  # frames for other MACs, too
    sock.settimeout(LIMIT_S)
    return sock


def summed(source, destination, protocol, segment, at):
    pseudo = source + destination + struct.pack("!II", len(segment), protocol)
    value = checksum(pseudo + segment) or 0xFFFF
    return segment[:at] + struct.pack("!H", value) + segment[at + 2 :]


def frame(
    to,
    data,
    source,
    gateway_mac,
    source_mac=None,
    options="",
    fragment=0,
    headers=None,
    protocol=17,
):
    """One frame with a datagram in it, forged as it is asked for. Nothing comes back: somebody outside has to look."""
    v6 = ":" in to
    source_bytes = packed(source)
    mac = bytes.fromhex((source_mac or own("address")).replace(":", ""))
    segment = struct.pack("!HHHH", 40000, 4444, 8 + len(data), 0) + data.encode()
    if protocol == 17:
        segment = summed(source_bytes, packed(to), 17, segment, 6)
    if v6:
        chain = [(kind, bytes.fromhex(text)) for kind, text in headers or []]
        following = [*[kind for kind, _ in chain[1:]], protocol][: len(chain)]
        body = (
            b"".join(bytes([f]) + h[1:] for f, (_, h) in zip(following, chain, strict=True))
            + segment
        )
        first = chain[0][0] if chain else protocol
        packet = (
            struct.pack("!IHBB", 6 << 28, len(body), first, 64) + source_bytes + packed(to) + body
        )
    else:
        extra = bytes.fromhex(options)
        length = 20 + len(extra)
        head = struct.pack(
            "!BBHHHBBH", 0x40 | length // 4, 0, length + len(segment), 7, fragment, 64, protocol, 0
        )
        head += source_bytes + packed(to) + extra
        packet = head[:10] + struct.pack("!H", checksum(head)) + head[12:] + segment
    with raw_socket() as sock:
        kind = b"\x86\xdd" if v6 else b"\x08\0"
        sock.send(bytes.fromhex(gateway_mac.replace(":", "")) + mac + kind + packet)
    return "sent"


def arp(sender, sender_mac, target):
    """Ask who has `target` in somebody's name."""
    mac = bytes.fromhex((sender_mac or own("address")).replace(":", ""))
    body = (
        struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + packed(sender) + bytes(6) + packed(target)
    )
    with raw_socket(0x0806) as sock:
        sock.send(b"\xff" * 6 + bytes.fromhex(own("address").replace(":", "")) + b"\x08\x06" + body)

        def wanted(f):
            return (
                f[20:22] + f[38:42] + f[28:32] + f[32:38]
                == b"\0\x02" + packed(sender) + packed(target) + mac
            )

        return heard(sock, wanted)


def solicit(source, target, gateway_mac):
    """Ask for a neighbour in somebody's name."""
    mac = bytes.fromhex(own("address").replace(":", ""))
    message = struct.pack("!BBHI", 135, 0, 0, 0) + packed(target) + b"\x01\x01" + mac
    message = summed(packed(source), packed(target), 58, message, 2)
    packet = (
        struct.pack("!IHBB", 6 << 28, len(message), 58, 255)
        + packed(source)
        + packed(target)
        + message
    )
    with raw_socket(0x86DD) as sock:
        sock.send(bytes.fromhex(gateway_mac.replace(":", "")) + mac + b"\x86\xdd" + packet)
        return heard(sock, lambda f: f[54:55] == b"\x88" and f[38:54] == packed(source))


def heard(sock, wanted):
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        if wanted(sock.recv(65536)):
            return "an answer"
    raise TimeoutError()


KINDS = {
    "dns": dns,
    "web": web,
    "tcp": tcp,
    "udp": udp,
    "ping": ping,
    "frame": frame,
    "arp": arp,
    "solicit": solicit,
}


def run(kind, arguments):
    try:
        detail = KINDS[kind](**arguments)
        return ["sent" if kind == "frame" else "answer", detail]
    except Refused as error:
        return ["refused", str(error)]
    except ssl.SSLError as error:
        return ["refused", f"TLS: {error}"]
    except TimeoutError as error:
        return ["nothing", str(error)]
    except OSError as error:
        if error.errno in NO_WAY:
            return ["no way", str(error)]
        if error.errno in REFUSALS:
            return ["refused", str(error)]
        return ["broken", f"{type(error).__name__}: {error}"]
    except Exception as error:
        return ["broken", f"{type(error).__name__}: {error}"]


def main():
    probes = json.load(sys.stdin)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        done = {number: pool.submit(run, kind, arguments) for number, kind, arguments in probes}
    json.dump({number: future.result() for number, future in done.items()}, sys.stdout)


if __name__ == "__main__":
    main()
