package identity

import (
	"errors"
	"testing"

	"scaibunker/guest-agent/internal/network"
)

func TestTheNetworkIsSetUpOnceInALife(t *testing.T) {
	count := 0
	var fails error
	h := &Holder{SetNetwork: func(*network.Config) error { count++; return fails }}
	at := func(generation string, mtu int) error {
		config := &network.Config{Interfaces: []network.Interface{{Name: "eth0", MAC: "02:00:00:00:00:01", MTU: mtu}}}
		return h.connect(Identity{Generation: generation, Network: config})
	}
	if err := h.connect(Identity{}); err != nil || count != 0 {
		t.Errorf("without one: %v, %d", err, count)
	}
	fails = errors.New("no such device")
	if at("a", 1500) == nil {
		t.Error("a first life without its network is no success")
	}
	fails = nil
	for i, step := range []struct {
		generation string
		mtu, count int
	}{{"a", 1500, 2}, {"a", 1500, 2}, {"a", 1400, 3}, {"b", 1400, 4}, {"b", 1400, 4}} {
		if err := at(step.generation, step.mtu); err != nil || count != step.count {
			t.Errorf("step %d: %v, %d", i, err, count)
		}
	}
	fails = errors.New("its owner has moved the device")
	if err := at("c", 1400); err != nil {
		t.Errorf("a machine that had one goes on without: %v", err)
	}
}
