package boot

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// setting is a value for a file below /proc/sys.
type setting struct{ name, value string }

// settings are what a distribution's own start would set.
var settings = []setting{
	{"fs/protected_symlinks", "1"},
	{"fs/protected_hardlinks", "1"},
	{"fs/protected_fifos", "1"},
	{"fs/protected_regular", "2"},
	{"net/ipv4/ping_group_range", "0 2147483647"},
	{"kernel/threads-max", "60000"}, // control groups set the limits
	{"kernel/unprivileged_bpf_disabled", "2"},
}

// emulatedSettings are for a machine whose processor is software. QEMU keeps translated code by its
// address: where that differs from process to process, every start of a program is translated
// anew, and takes three times as long. Programs of an emulated machine do without the protection.
var emulatedSettings = []setting{
	{"kernel/randomize_va_space", "0"},
}

// softwareEmulation is how QEMU's emulator names itself.
const softwareEmulation = "TCGTCGTCGTCG"

// tune sets the kernel and the limits of processes. None of it is worth failing for.
func tune() {
	apply(settings)
	if hypervisor() == softwareEmulation {
		apply(emulatedSettings)
	}
	// The agent's own limits are what commands begin with.
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 4096, Max: 524288})
	_ = syscall.Setrlimit(unix.RLIMIT_NPROC, &syscall.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
}

func apply(settings []setting) {
	for _, s := range settings {
		fd, err := unix.Open("/proc/sys/"+s.name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		_, _ = unix.Write(fd, []byte(s.value))
		unix.Close(fd)
	}
}
