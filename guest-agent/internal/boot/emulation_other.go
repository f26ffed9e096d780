//go:build !amd64

package boot

func hypervisor() string { return "" }
