package rtnetlink

import (
	"net"

	"golang.org/x/sys/unix"
)

// Link is one network interface. Hardware is the address that its device has, whatever the guest has
// it send with (Address); nil where the kernel does not tell.
type Link struct {
	Index    int
	Name     string
	Address  net.HardwareAddr
	Hardware net.HardwareAddr
	MTU      int
	Up       bool
}

// Links returns all there are.
func (s *Socket) Links() ([]Link, error) {
	var links []Link
	err := s.dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), func(message []byte) {
		if len(message) < unix.SizeofIfInfomsg {
			return
		}
		link := Link{
			Index: int(int32(order.Uint32(message[4:]))),
			Up:    order.Uint32(message[8:])&unix.IFF_UP != 0,
		}
		for kind, value := range attributes(message, unix.SizeofIfInfomsg) {
			switch {
			case kind == unix.IFLA_IFNAME:
				link.Name = unix.ByteSliceToString(value)
			case kind == unix.IFLA_ADDRESS:
				link.Address = append(net.HardwareAddr{}, value...)
			case kind == unix.IFLA_PERM_ADDRESS:
				link.Hardware = append(net.HardwareAddr{}, value...)
			case kind == unix.IFLA_MTU && len(value) == 4:
				link.MTU = int(order.Uint32(value))
			}
		}
		links = append(links, link)
	})
	return links, err
}

// Rename gives a link another name. Those that are up may have to be down for it.
func (s *Socket) Rename(index int, name string) error {
	return s.change(unix.RTM_SETLINK, 0, info(index, 0, 0), attribute{unix.IFLA_IFNAME, append([]byte(name), 0)})
}

// SetAddress has a link send with a hardware address.
func (s *Socket) SetAddress(index int, address net.HardwareAddr) error {
	return s.change(unix.RTM_SETLINK, 0, info(index, 0, 0), attribute{unix.IFLA_ADDRESS, address})
}

// SetMTU in bytes.
func (s *Socket) SetMTU(index, mtu int) error {
	return s.change(unix.RTM_SETLINK, 0, info(index, 0, 0), number(unix.IFLA_MTU, uint32(mtu)))
}

// SetUp switches a link on or off.
func (s *Socket) SetUp(index int, up bool) error {
	var flags uint32
	if up {
		flags = unix.IFF_UP
	}
	return s.change(unix.RTM_SETLINK, 0, info(index, flags, unix.IFF_UP))
}

func info(index int, flags, mask uint32) []byte {
	body := make([]byte, unix.SizeofIfInfomsg)
	order.PutUint32(body[4:], uint32(index))
	order.PutUint32(body[8:], flags)
	order.PutUint32(body[12:], mask)
	return body
}
