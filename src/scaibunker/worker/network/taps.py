"""TAPs: the interfaces of which VMMs hold the other end, as open files.

One queue, so that only one VMM at a time has it; packets with a virtio header, so that the guest's own offloads (checksums,
large segments) reach the kernel as they are: QEMU asks the descriptor for both (`-netdev tap,fd=`).
"""

import fcntl
import os
import struct

DEVICE = "/dev/net/tun"
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_REQUEST = "16sH22x"


def create(name: str) -> None:
    """Make one in the calling thread's namespace, which stays there without anybody holding it. Raises OSError."""
    descriptor = attach(name)
    try:
        fcntl.ioctl(descriptor, TUNSETPERSIST, 1)
    finally:
        os.close(descriptor)


def attach(name: str) -> int:
    """A descriptor of it, in the calling thread's namespace; made if there is none. The caller closes it. Raises
    OSError; EBUSY if somebody has it."""
    descriptor = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack(_REQUEST, name.encode(), flags))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
