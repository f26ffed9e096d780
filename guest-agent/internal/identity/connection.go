package identity

import (
	"reflect"

	"scaibunker/guest-agent/internal/console"
	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/network"
)

// connection is a network that was set up, and the life of the machine's memory in which it was.
type connection struct {
	generation string
	config     *network.Config
}

// connect sets the network up, once in a life: when the same host greets again, the interfaces are what the
// machine's owner has made of them meanwhile, and stay so. A machine that had a network once goes on without, for its
// owner can have done anything to it: unplugged the device, moved it elsewhere. Errors are *fault.Error.
func (h *Holder) connect(identity Identity) error {
	if identity.Network == nil {
		return nil
	}
	now := &connection{identity.Generation, identity.Network}
	if h.connected != nil && reflect.DeepEqual(h.connected, now) {
		return nil
	}
	if err := h.SetNetwork(identity.Network); err != nil {
		if h.connected == nil {
			return fault.From(err)
		}
		console.Print("network: %v", err)
	}
	h.connected = now
	return nil
}
