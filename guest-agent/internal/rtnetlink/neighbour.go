package rtnetlink

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Neighbours are the addresses on a link whose hardware addresses the kernel has learnt, or was told.
func (s *Socket) Neighbours(index int) ([]netip.Addr, error) {
	var found []netip.Addr
	err := s.dump(unix.RTM_GETNEIGH, make([]byte, unix.SizeofNdMsg), func(message []byte) {
		if len(message) < unix.SizeofNdMsg || int(int32(order.Uint32(message[4:]))) != index {
			return
		}
		if order.Uint16(message[8:])&unix.NUD_NOARP != 0 {
			return // groups: they have no neighbour to ask
		}
		if address, ok := netip.AddrFromSlice(attributes(message, unix.SizeofNdMsg)[unix.NDA_DST]); ok {
			found = append(found, address)
		}
	})
	return found, err
}

// RemoveNeighbour has the kernel ask again.
func (s *Socket) RemoveNeighbour(index int, address netip.Addr) error {
	body := make([]byte, unix.SizeofNdMsg)
	body[0] = family(address)
	order.PutUint32(body[4:], uint32(index))
	return s.change(unix.RTM_DELNEIGH, 0, body, attribute{unix.NDA_DST, address.AsSlice()})
}
