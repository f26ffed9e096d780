package network

import (
	"bytes"
	"fmt"
	"time"

	"scaibunker/guest-agent/internal/rtnetlink"
)

// appearTime is how long a device may take to be there after a boot.
const appearTime = 5 * time.Second

// named finds the interface of each wanted device, and has all of them called what they are to be.
func named(socket *rtnetlink.Socket, interfaces []wanted) ([]rtnetlink.Link, error) {
	all, found, err := appear(socket, interfaces)
	if err != nil {
		return nil, err
	}
	// Names can be each other's: whatever stands in the way gets one that nobody wants first.
	for i, w := range interfaces {
		if found[i].Name == w.name {
			continue
		}
		for _, link := range all {
			if link.Name == w.name {
				if err := rename(socket, link, fmt.Sprintf("if%d-old", link.Index)); err != nil {
					return nil, fmt.Errorf("interface %s is in the way: %w", w.name, err)
				}
			}
		}
		if err := rename(socket, found[i], w.name); err != nil {
			return nil, fmt.Errorf("call interface %s %s: %w", found[i].Name, w.name, err)
		}
		if all, found, err = look(socket, interfaces); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func appear(socket *rtnetlink.Socket, interfaces []wanted) (all, found []rtnetlink.Link, err error) {
	for deadline := time.Now().Add(appearTime); ; time.Sleep(time.Millisecond) {
		if all, found, err = look(socket, interfaces); err == nil || time.Now().After(deadline) {
			return all, found, err
		}
	}
}

// look returns all interfaces, and those of the wanted devices in their order.
func look(socket *rtnetlink.Socket, interfaces []wanted) (all, found []rtnetlink.Link, err error) {
	if all, err = socket.Links(); err != nil {
		return nil, nil, err
	}
	for _, w := range interfaces {
		link, ok := pick(all, w)
		if !ok {
			return nil, nil, fmt.Errorf("no interface has a device with the address %s", w.hardware)
		}
		found = append(found, link)
	}
	return all, found, nil
}

// pick goes by the device's own address: a guest can have it send with another one, and give others that one.
func pick(links []rtnetlink.Link, w wanted) (rtnetlink.Link, bool) {
	for _, link := range links {
		if bytes.Equal(link.Hardware, w.hardware) {
			return link, true
		}
	}
	for _, link := range links {
		if link.Hardware == nil && bytes.Equal(link.Address, w.hardware) {
			return link, true
		}
	}
	return rtnetlink.Link{}, false
}

// rename switches a link off for it where the kernel wants that.
func rename(socket *rtnetlink.Socket, link rtnetlink.Link, name string) error {
	if socket.Rename(link.Index, name) == nil {
		return nil
	}
	if link.Up {
		if err := socket.SetUp(link.Index, false); err != nil {
			return err
		}
	}
	err := socket.Rename(link.Index, name)
	if link.Up {
		_ = socket.SetUp(link.Index, true)
	}
	return err
}
