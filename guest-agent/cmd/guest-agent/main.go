// Command guest-agent is process 1 of a bunker: it boots the machine (package boot), then serves
// the host over the guest channel (package api) until it is told to switch off.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/api"
	"scaibunker/guest-agent/internal/boot"
	"scaibunker/guest-agent/internal/channel"
	"scaibunker/guest-agent/internal/console"
	"scaibunker/guest-agent/internal/frames"
	"scaibunker/guest-agent/internal/hold"
	"scaibunker/guest-agent/internal/identity"
	"scaibunker/guest-agent/internal/network"
	"scaibunker/guest-agent/internal/power"
	"scaibunker/guest-agent/internal/process"
)

// version is set by the linker.
var version = "dev"

const mib = 1 << 20

func main() {
	if os.Getpid() != 1 {
		fmt.Println("scaibunker guest agent", version)
		fmt.Println("This program is process 1 of a microVM; it does nothing elsewhere.")
		if len(os.Args) == 2 && os.Args[1] == "-version" {
			return
		}
		os.Exit(2)
	}
	machine, err := boot.Run()
	if err == nil {
		err = serve(machine)
	}
	console.Print("fatal: %v", err)
	power.Now()
}

// serve answers the host. It returns only if the channel is lost for good.
func serve(machine *boot.Machine) error {
	memory := int(machine.MemoryBytes / mib)
	limitMemory(memory)
	port, err := channel.OpenDevice(machine.Port)
	if err != nil {
		return err
	}
	reaper := process.NewReaper()
	go reaper.Run()
	windows := api.Windows{Connection: within(memory/12, 4, 40) * mib}
	options := process.Options{
		Budget: frames.NewBudget(int64(within(memory/20, 3, 64)) * mib),
		// Room is left for other requests even if no command reads its input.
		MaxLive:     within(windows.Connection/api.StreamWindow-8, 8, 240),
		MaxFinished: 1000,
		Remember:    10 * time.Minute,
	}
	killAll := func() error { return nil }
	holder := &hold.Holder{Disk: hold.FileSystem{Directory: machine.Disk}}
	if machine.Groups != nil {
		holder.Processes = machine.Groups
		options.BunkerCgroup, options.RootCgroup = machine.Groups.User, machine.Groups.Root
		killAll = machine.Groups.Kill
	}
	execs, err := process.NewTable(options, reaper)
	if err != nil {
		return err
	}
	off := func() { power.Off(killAll, machine.Disk) }
	go obeySignals(off)
	listener := channel.NewListener(port, machine.Token)
	server := &api.Server{
		Version: version,
		Execs:   execs,
		Users:   &accounts.Directory{},
		Identity: &identity.Holder{
			FillDisk:   func(mib int) error { return boot.Fill(machine.Disk, mib) },
			SetNetwork: network.Apply,
		},
		Hold:         holder,
		ReplaceToken: listener.ReplaceToken,
		PowerOff:     off,
	}
	console.Print("ready")
	return server.Serve(listener, windows)
}

// limitMemory keeps the agent small where memory is scarce.
func limitMemory(machineMiB int) {
	debug.SetMemoryLimit(int64(within(machineMiB/10, 16, 256)) * mib)
	runtime.GOMAXPROCS(within(runtime.NumCPU(), 2, 8))
}

// obeySignals switches off when root asks process 1 for it, as poweroff and its like do. Signals
// that would end any other program are passed over.
func obeySignals(off func()) {
	received := make(chan os.Signal, 4)
	const rtPowerOff = syscall.Signal(34 + 4)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPWR, syscall.SIGUSR1, syscall.SIGUSR2,
		rtPowerOff, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGALRM)
	for s := range received {
		switch s {
		case syscall.SIGINT, syscall.SIGTERM, syscall.SIGPWR, syscall.SIGUSR1, syscall.SIGUSR2, rtPowerOff:
			off()
		}
	}
}

func within(value, least, most int) int { return min(max(value, least), most) }
