package network

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	first  = "02:00:00:00:00:01"
	second = "02:00:00:00:00:02"
)

// inNamespace runs the rest of a test in a network namespace of its own, with two interfaces whose names are each
// other's. The thread is never used again.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip of iproute2")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skip("cannot make a network namespace:", err)
	}
	ip(t, "link add eth1 address "+first+" type veth peer name far0")
	ip(t, "link add eth0 address "+second+" type veth peer name far1")
	ip(t, "link set far0 up")
	ip(t, "link set far1 up")
}

func ip(t *testing.T, command string) string {
	t.Helper()
	output, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %s", command, output)
	}
	return string(output)
}

func apply(t *testing.T, interfaces ...Interface) {
	t.Helper()
	if err := Apply(&Config{Interfaces: interfaces}); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

func refuse(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q is in\n%s", part, text)
		}
	}
}

var numberedInterface = Interface{
	Name: "eth0", MAC: first, MTU: 1400,
	Addresses: []string{"192.0.2.2/30", "2001:db8::2/64"},
	Gateways:  []string{"192.0.2.1", "2001:db8::1"},
}

func TestInterfacesAreWhatTheyAreToBe(t *testing.T) {
	inNamespace(t)
	for range 2 { // what is right already is no error
		apply(t, numberedInterface, Interface{Name: "eth1", MAC: second, MTU: 1500})
		text := ip(t, "address show eth0")
		expect(t, text, first, "mtu 1400", "inet 192.0.2.2/30", "inet6 2001:db8::2/64", "LOWER_UP")
		for line := range strings.Lines(text) {
			if strings.Contains(line, "2001:db8::2") {
				refuse(t, line, "tentative") // it can be used at once
			}
		}
		expect(t, ip(t, "address show eth1"), second, "LOWER_UP")
		expect(t, ip(t, "route"), "default via 192.0.2.1 dev eth0")
		expect(t, ip(t, "-6 route"), "default via 2001:db8::1 dev eth0")
	}
	for _, setting := range []string{"accept_ra", "accept_dad", "autoconf"} {
		value, err := os.ReadFile("/proc/sys/net/ipv6/conf/eth0/" + setting)
		if err != nil || strings.TrimSpace(string(value)) != "0" {
			t.Errorf("%s: %v %s", setting, err, value)
		}
	}
}

func TestWhatAnEarlierLifeHadGoes(t *testing.T) {
	inNamespace(t)
	apply(t, numberedInterface)
	ip(t, "address add 198.51.100.7/24 dev eth0")
	ip(t, "address add 2001:db8:9::7/64 dev eth0")
	ip(t, "address del 192.0.2.2/30 dev eth0")
	ip(t, "route add 203.0.113.0/24 via 198.51.100.1 dev eth0")
	ip(t, "neighbour add 192.0.2.1 lladdr 02:00:00:00:00:99 dev eth0")
	ip(t, "link set eth0 mtu 900")
	ip(t, "link set eth0 down")
	ip(t, "link add own0 type bridge")
	ip(t, "address add 10.9.9.1/24 dev own0")
	apply(t, numberedInterface)
	text := ip(t, "address show eth0")
	expect(t, text, "192.0.2.2/30", "2001:db8::2/64", "mtu 1400", "LOWER_UP")
	refuse(t, text, "198.51.100.7", "2001:db8:9::7")
	routes := ip(t, "route")
	expect(t, routes, "default via 192.0.2.1 dev eth0")
	refuse(t, routes, "203.0.113.0")
	refuse(t, ip(t, "neighbour"), "PERMANENT")
	expect(t, ip(t, "address show own0"), "10.9.9.1/24") // what it has made itself is its own
}

func TestAGatewayNeedNotBeInThePrefix(t *testing.T) {
	inNamespace(t)
	apply(t, Interface{Name: "wan", MAC: second, MTU: 1500, Addresses: []string{"192.0.2.9/32"}, Gateways: []string{"198.51.100.1"}})
	expect(t, ip(t, "route"), "default via 198.51.100.1 dev wan", "onlink")
}

func TestAnInterfaceThatTheGuestNumbersIsLeftAlone(t *testing.T) {
	inNamespace(t)
	lan := Interface{Name: "lan0", MAC: first, MTU: 1500}
	apply(t, lan)
	ip(t, "address add 10.1.2.3/24 dev lan0")
	ip(t, "route add default via 10.1.2.1 dev lan0")
	apply(t, lan)
	expect(t, ip(t, "address show lan0"), "10.1.2.3/24")
	expect(t, ip(t, "route"), "default via 10.1.2.1 dev lan0")
}

func TestADeviceThatIsNotThereIsNamed(t *testing.T) {
	inNamespace(t)
	err := Apply(&Config{Interfaces: []Interface{{Name: "eth0", MAC: "02:00:00:00:00:77", MTU: 1500}}})
	if err == nil || !strings.Contains(err.Error(), "02:00:00:00:00:77") {
		t.Error(err)
	}
}

func TestResolversReplaceWhateverIsThere(t *testing.T) {
	resolvers := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	const wanted = "nameserver 192.0.2.1\nnameserver 2001:db8::1\n"
	for name, prepare := range map[string]func(path, elsewhere string) error{
		"nothing":        func(string, string) error { return nil },
		"a file":         func(path, _ string) error { return os.WriteFile(path, []byte("nameserver 1.2.3.4\n"), 0o600) },
		"a dead link":    func(path, elsewhere string) error { return os.Symlink(elsewhere+"/gone", path) },
		"a link outside": func(path, elsewhere string) error { return os.Symlink(elsewhere+"/file", path) },
		"a pipe":         func(path, _ string) error { return unix.Mkfifo(path, 0o644) },
		"the same":       func(path, _ string) error { return os.WriteFile(path, []byte(wanted), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			path, elsewhere := filepath.Join(t.TempDir(), "etc", "resolv.conf"), t.TempDir()
			if err := os.WriteFile(elsewhere+"/file", []byte("as it was"), 0o644); err != nil {
				t.Fatal(err)
			}
			if name != "nothing" {
				if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := prepare(path, elsewhere); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := writeResolvers(path, resolvers); err != nil {
					t.Fatal(err)
				}
			}
			info, err := os.Lstat(path)
			text, _ := os.ReadFile(path)
			if err != nil || info.Mode() != 0o644 || string(text) != wanted {
				t.Errorf("%v %v %q", err, info.Mode(), text)
			}
			if text, _ := os.ReadFile(elsewhere + "/file"); string(text) != "as it was" {
				t.Errorf("%q", text)
			}
		})
	}
}

func TestWhatMakesNoSenseIsRefused(t *testing.T) {
	good := numberedInterface
	for field, change := range map[string]func(*Interface){
		"name":        func(i *Interface) { i.Name = "../lo" },
		"loopback":    func(i *Interface) { i.Name = "lo" },
		"long name":   func(i *Interface) { i.Name = strings.Repeat("a", 16) },
		"mac":         func(i *Interface) { i.MAC = "02:00" },
		"mtu":         func(i *Interface) { i.MTU = 0 },
		"address":     func(i *Interface) { i.Addresses = []string{"192.0.2.2"} },
		"gateway":     func(i *Interface) { i.Gateways = []string{"example.com"} },
		"many":        func(i *Interface) { i.Addresses = make([]string, 99) },
		"zone":        func(i *Interface) { i.Gateways = []string{"fe80::1%eth0"} },
		"no hardware": func(i *Interface) { i.MAC = "02:00:00:00:00:00:00:01" },
	} {
		bad := good
		change(&bad)
		if err := (&Config{Interfaces: []Interface{bad}}).Check(); err == nil {
			t.Errorf("%s: nothing is wrong with %+v", field, bad)
		}
	}
	if err := (&Config{Interfaces: []Interface{good, good}}).Check(); err == nil {
		t.Error("two of the same")
	}
	if err := (&Config{Resolvers: []string{"example.com"}}).Check(); err == nil {
		t.Error("a resolver without an address")
	}
	if err := (&Config{Interfaces: []Interface{good}, Resolvers: []string{"192.0.2.1"}}).Check(); err != nil {
		t.Error(err)
	}
	if many := make([]Interface, 17); (&Config{Interfaces: many}).Check() == nil {
		t.Error(fmt.Sprint(len(many)), "interfaces")
	}
}
