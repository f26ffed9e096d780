package rtnetlink

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Route leads to Destination by Gateway, which is not valid for what is on the link itself. Own says that the
// kernel made it, of an address.
type Route struct {
	Destination netip.Prefix
	Gateway     netip.Addr
	Metric      uint32
	Own         bool
}

// Routes over a link in the main table.
func (s *Socket) Routes(index int) ([]Route, error) {
	var found []Route
	err := s.dump(unix.RTM_GETROUTE, make([]byte, unix.SizeofRtMsg), func(message []byte) {
		if len(message) < unix.SizeofRtMsg || message[4] != unix.RT_TABLE_MAIN || message[7] != unix.RTN_UNICAST {
			return
		}
		values := attributes(message, unix.SizeofRtMsg)
		if link := values[unix.RTA_OIF]; len(link) != 4 || int(order.Uint32(link)) != index {
			return
		}
		route := Route{Own: message[5] == unix.RTPROT_KERNEL}
		var any netip.Addr
		switch message[0] {
		case unix.AF_INET:
			any = netip.IPv4Unspecified()
		case unix.AF_INET6:
			any = netip.IPv6Unspecified()
		default:
			return
		}
		if address, ok := netip.AddrFromSlice(values[unix.RTA_DST]); ok {
			any = address
		}
		route.Destination = netip.PrefixFrom(any, int(message[1]))
		route.Gateway, _ = netip.AddrFromSlice(values[unix.RTA_GATEWAY])
		if metric := values[unix.RTA_PRIORITY]; len(metric) == 4 {
			route.Metric = order.Uint32(metric)
		}
		found = append(found, route)
	})
	return found, err
}

// AddRoute has it in the place of one to the same destination with the same metric, if there is one. A
// gateway counts as being on the link, whatever the link's addresses are.
func (s *Socket) AddRoute(index int, route Route) error {
	body := routed(route)
	body[5] = unix.RTPROT_STATIC
	if route.Gateway.IsValid() {
		body[6] = unix.RT_SCOPE_UNIVERSE
		order.PutUint32(body[8:], unix.RTNH_F_ONLINK)
	} else {
		body[6] = unix.RT_SCOPE_LINK
	}
	return s.change(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, body, to(index, route)...)
}

// RemoveRoute takes one away, whoever made it.
func (s *Socket) RemoveRoute(index int, route Route) error {
	body := routed(route)
	body[6] = unix.RT_SCOPE_NOWHERE // any
	return s.change(unix.RTM_DELROUTE, 0, body, to(index, route)...)
}

func routed(route Route) []byte {
	body := make([]byte, unix.SizeofRtMsg)
	body[0] = family(route.Destination.Addr())
	body[1] = byte(route.Destination.Bits())
	body[4] = unix.RT_TABLE_MAIN
	body[7] = unix.RTN_UNICAST
	return body
}

func to(index int, route Route) []attribute {
	list := []attribute{number(unix.RTA_OIF, uint32(index))}
	if route.Destination.Bits() > 0 {
		list = append(list, attribute{unix.RTA_DST, route.Destination.Addr().AsSlice()})
	}
	if route.Gateway.IsValid() {
		list = append(list, attribute{unix.RTA_GATEWAY, route.Gateway.AsSlice()})
	}
	if route.Metric != 0 {
		list = append(list, number(unix.RTA_PRIORITY, route.Metric))
	}
	return list
}
