package network

import (
	"fmt"
	"net/netip"
	"slices"

	"scaibunker/guest-agent/internal/console"
	"scaibunker/guest-agent/internal/rtnetlink"
)

// Apply makes the interfaces what config says, whatever they were: what is right already is left as it is, so
// that connections live on, and what an earlier life had beside it goes. What the guest has made itself (bridges,
// tunnels) is its own. Errors are *fault.Error where config makes no sense.
func Apply(config *Config) error {
	plan, err := config.plan()
	if err != nil {
		return err
	}
	socket, err := rtnetlink.Open()
	if err != nil {
		return err
	}
	defer socket.Close()
	links, err := named(socket, plan.interfaces)
	if err != nil {
		return err
	}
	for i, w := range plan.interfaces {
		if err := number(socket, links[i], w); err != nil {
			return fmt.Errorf("interface %s: %w", w.name, err)
		}
	}
	if len(plan.resolvers) > 0 {
		if err := writeResolvers(resolvConf, plan.resolvers); err != nil {
			// An image can have anything in its place. Addresses work all the same.
			console.Print("resolvers: %v", err)
		}
	}
	return nil
}

// number gives an interface its addresses and routes, and switches it on.
func number(socket *rtnetlink.Socket, link rtnetlink.Link, w wanted) error {
	var present []netip.Prefix
	if w.numbered() {
		var err error
		if present, err = socket.Addresses(link.Index); err != nil {
			return fmt.Errorf("addresses: %w", err)
		}
		if !link.Up || !containsAll(present, w.addresses) {
			quieten(w.name)
		}
	}
	if string(link.Address) != string(w.hardware) {
		if err := socket.SetAddress(link.Index, w.hardware); err != nil {
			return fmt.Errorf("hardware address: %w", err)
		}
	}
	if link.MTU != w.mtu {
		if err := socket.SetMTU(link.Index, w.mtu); err != nil {
			return fmt.Errorf("MTU: %w", err)
		}
	}
	if !link.Up {
		if err := socket.SetUp(link.Index, true); err != nil {
			return fmt.Errorf("switch on: %w", err)
		}
	}
	if !w.numbered() {
		return nil
	}
	if err := setAddresses(socket, link.Index, present, w.addresses); err != nil {
		return fmt.Errorf("addresses: %w", err)
	}
	if err := setRoutes(socket, link.Index, w); err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	// Where this life goes on, others may be at the same addresses.
	known, err := socket.Neighbours(link.Index)
	if err != nil {
		return fmt.Errorf("neighbours: %w", err)
	}
	for _, address := range known {
		_ = socket.RemoveNeighbour(link.Index, address)
	}
	return nil
}

func containsAll(present, wanted []netip.Prefix) bool {
	return !slices.ContainsFunc(wanted, func(prefix netip.Prefix) bool { return !slices.Contains(present, prefix) })
}

func setAddresses(socket *rtnetlink.Socket, index int, present, addresses []netip.Prefix) error {
	for _, prefix := range present {
		if !slices.Contains(addresses, prefix) && !prefix.Addr().IsLinkLocalUnicast() {
			if err := socket.RemoveAddress(index, prefix); err != nil {
				return fmt.Errorf("remove %s: %w", prefix, err)
			}
		}
	}
	for _, prefix := range addresses {
		if !slices.Contains(present, prefix) {
			if err := socket.AddAddress(index, prefix); err != nil {
				return fmt.Errorf("add %s: %w", prefix, err)
			}
		}
	}
	return nil
}

func setRoutes(socket *rtnetlink.Socket, index int, w wanted) error {
	present, err := socket.Routes(index)
	if err != nil {
		return err
	}
	var there []netip.Addr
	for _, route := range present {
		switch {
		case route.Own:
		case route.Destination.Bits() == 0 && route.Gateway.IsValid() && slices.Contains(w.gateways, route.Gateway):
			there = append(there, route.Gateway)
		default:
			_ = socket.RemoveRoute(index, route) // it may have gone with an address
		}
	}
	for _, gateway := range w.gateways {
		if slices.Contains(there, gateway) {
			continue
		}
		everywhere := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if gateway.Is4() {
			everywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		if err := socket.AddRoute(index, rtnetlink.Route{Destination: everywhere, Gateway: gateway}); err != nil {
			return fmt.Errorf("by %s: %w", gateway, err)
		}
	}
	return nil
}
