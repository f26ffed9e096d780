package boot

// hypervisor returns the twelve letters by which a hypervisor names itself to its guests.
func hypervisor() string {
	ebx, ecx, edx := cpuidHypervisor()
	name := make([]byte, 0, 12)
	for _, register := range []uint32{ebx, ecx, edx} {
		name = append(name, byte(register), byte(register>>8), byte(register>>16), byte(register>>24))
	}
	return string(name)
}

// cpuidHypervisor executes CPUID with leaf 0x40000000.
func cpuidHypervisor() (ebx, ecx, edx uint32)
