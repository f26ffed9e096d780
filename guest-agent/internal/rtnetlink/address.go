package rtnetlink

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Addresses of a link, with the lengths of their prefixes.
func (s *Socket) Addresses(index int) ([]netip.Prefix, error) {
	var found []netip.Prefix
	err := s.dump(unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg), func(message []byte) {
		if len(message) < unix.SizeofIfAddrmsg || int(order.Uint32(message[4:])) != index {
			return
		}
		values := attributes(message, unix.SizeofIfAddrmsg)
		value, ok := values[unix.IFA_LOCAL] // IFA_ADDRESS is the other end's where there is one
		if !ok {
			value = values[unix.IFA_ADDRESS]
		}
		if address, ok := netip.AddrFromSlice(value); ok {
			found = append(found, netip.PrefixFrom(address, int(message[1])))
		}
	})
	return found, err
}

// AddAddress gives a link an address, at once and without asking whether somebody else has it. It may be there.
func (s *Socket) AddAddress(index int, prefix netip.Prefix) error {
	value := attribute{unix.IFA_LOCAL, prefix.Addr().AsSlice()}
	given := attribute{unix.IFA_ADDRESS, prefix.Addr().AsSlice()}
	flags := number(unix.IFA_FLAGS, unix.IFA_F_NODAD)
	return s.change(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, addressed(index, prefix), value, given, flags)
}

// RemoveAddress takes one away.
func (s *Socket) RemoveAddress(index int, prefix netip.Prefix) error {
	value := attribute{unix.IFA_LOCAL, prefix.Addr().AsSlice()}
	return s.change(unix.RTM_DELADDR, 0, addressed(index, prefix), value)
}

func addressed(index int, prefix netip.Prefix) []byte {
	body := make([]byte, unix.SizeofIfAddrmsg)
	body[0] = family(prefix.Addr())
	body[1] = byte(prefix.Bits())
	order.PutUint32(body[4:], uint32(index))
	return body
}

func family(address netip.Addr) byte {
	if address.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
