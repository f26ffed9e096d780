// Package network sets up the guest's side of its network: names, addresses and routes of interfaces, and the
// resolvers. Nothing here keeps a guest from anything: what may pass is decided outside of it.
package network

import (
	"bytes"
	"net"
	"net/netip"

	"scaibunker/guest-agent/internal/fault"
)

// Config is the wire contract's GuestNetwork.
type Config struct {
	Interfaces []Interface `json:"interfaces"`
	Resolvers  []string    `json:"resolvers"`
}

// Interface is the wire contract's GuestInterface: the one whose device has the address MAC. One without
// Addresses and Gateways is the guest's own to number.
type Interface struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac"`
	MTU       int      `json:"mtu"`
	Addresses []string `json:"addresses"`
	Gateways  []string `json:"gateways"`
}

const (
	maxInterfaces = 16
	maxAddresses  = 16
	maxName       = 15
	minMTU        = 68
	maxMTU        = 65535
)

// plan is a Config whose values make sense.
type plan struct {
	interfaces []wanted
	resolvers  []netip.Addr
}

type wanted struct {
	name      string
	hardware  net.HardwareAddr
	mtu       int
	addresses []netip.Prefix
	gateways  []netip.Addr
}

// numbered says whether its addresses are laid down, and not the guest's own affair.
func (w wanted) numbered() bool { return len(w.addresses)+len(w.gateways) > 0 }

// Check says what is wrong with a Config, if something is. Errors are *fault.Error.
func (c *Config) Check() error {
	_, err := c.plan()
	return err
}

func (c *Config) plan() (*plan, error) {
	if len(c.Interfaces) > maxInterfaces {
		return nil, invalid("at most %d interfaces are possible", maxInterfaces)
	}
	made := &plan{}
	for _, i := range c.Interfaces {
		w, err := i.wanted()
		if err != nil {
			return nil, err
		}
		for _, other := range made.interfaces {
			if other.name == w.name || bytes.Equal(other.hardware, w.hardware) {
				return nil, invalid("two interfaces are called %s or %s", w.name, w.hardware)
			}
		}
		made.interfaces = append(made.interfaces, w)
	}
	if len(c.Resolvers) > maxAddresses {
		return nil, invalid("at most %d resolvers are possible", maxAddresses)
	}
	for _, text := range c.Resolvers {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, invalid("%q is no address of a resolver", text)
		}
		made.resolvers = append(made.resolvers, address)
	}
	return made, nil
}

func (i Interface) wanted() (wanted, error) {
	w := wanted{name: i.Name, mtu: i.MTU}
	if !isName(i.Name) {
		return w, invalid("%q is no name of an interface", i.Name)
	}
	var err error
	if w.hardware, err = net.ParseMAC(i.MAC); err != nil || len(w.hardware) != 6 {
		return w, invalid("%q is no hardware address", i.MAC)
	}
	if i.MTU < minMTU || i.MTU > maxMTU {
		return w, invalid("an MTU must be %d to %d", minMTU, maxMTU)
	}
	if len(i.Addresses) > maxAddresses || len(i.Gateways) > maxAddresses {
		return w, invalid("at most %d addresses are possible", maxAddresses)
	}
	for _, text := range i.Addresses {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return w, invalid("%q is no address with the length of its prefix", text)
		}
		w.addresses = append(w.addresses, prefix)
	}
	for _, text := range i.Gateways {
		gateway, err := netip.ParseAddr(text)
		if err != nil || gateway.Zone() != "" {
			return w, invalid("%q is no address of a gateway", text)
		}
		w.gateways = append(w.gateways, gateway)
	}
	return w, nil
}

// isName says whether the kernel takes it, and no path can be made of it.
func isName(name string) bool {
	if len(name) == 0 || len(name) > maxName || name == "lo" || name == "all" || name == "default" {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || i > 0 && (c == '-' || c == '_')) {
			return false
		}
	}
	return true
}

func invalid(format string, args ...any) error {
	return fault.Invalid("network", "network: "+format, args...)
}
