// Package channel turns the guest channel, one byte stream that keeps no connections, into
// sessions that an HTTP server can serve.
//
// Port is the stream, intake finds hellos in what is read, Listener opens sessions, Session is
// the net.Conn of one. The contract is src/scaibunker/wire/guest/handshake.py. What is said in a
// session is package api's matter.
package channel

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Port is a byte stream to the host that may hang up and come back.
type Port interface {
	// Read waits for bytes. io.EOF says once that the host has hung up; after that Read waits
	// until it is back.
	Read(p []byte) (int, error)
	// TryRead is Read that does not wait: 0 and no error if there is nothing.
	TryRead(p []byte) (int, error)
	// Write waits until some bytes are taken.
	Write(p []byte) (int, error)
	// InterruptWrites makes the Write that waits, and those to come, fail until ResumeWrites.
	InterruptWrites()
	ResumeWrites()
	Close() error
}

// Device is the Port of a virtio-serial character device. It rests in the runtime's poller, which
// is edge-triggered: a port whose host is gone costs no processor time.
type Device struct {
	file      *os.File
	raw       syscall.RawConn
	connected atomic.Bool // bytes have passed since the last hang-up
}

// OpenDevice opens /dev/vportNpM.
func OpenDevice(path string) (*Device, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	if err := file.SetDeadline(time.Time{}); err != nil {
		file.Close()
		return nil, errors.New(path + " cannot be polled")
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Device{file: file, raw: raw}, nil
}

// Read implements Port.
func (d *Device) Read(p []byte) (n int, err error) {
	waitErr := d.raw.Read(func(fd uintptr) bool {
		var again bool
		n, again, err = d.readNow(int(fd), p)
		return !again
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return n, err
}

// TryRead implements Port.
func (d *Device) TryRead(p []byte) (n int, err error) {
	controlErr := d.raw.Control(func(fd uintptr) { n, _, err = d.readNow(int(fd), p) })
	if controlErr != nil {
		return 0, controlErr
	}
	return n, err
}

// readNow reads what there is. The driver returns 0 bytes for as long as no host is connected,
// which is news the first time only.
func (d *Device) readNow(fd int, p []byte) (n int, again bool, err error) {
	for {
		n, err = unix.Read(fd, p)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return 0, true, nil
		case err != nil:
			return 0, false, err
		case n > 0:
			d.connected.Store(true)
			return n, false, nil
		case d.connected.CompareAndSwap(true, false):
			return 0, false, io.EOF
		default:
			return 0, true, nil
		}
	}
}

// Write implements Port. The driver takes at most 32 KiB at a time.
func (d *Device) Write(p []byte) (n int, err error) {
	waitErr := d.raw.Write(func(fd uintptr) bool {
		for {
			n, err = unix.Write(int(fd), p)
			if err != unix.EINTR {
				break
			}
		}
		if err == unix.EAGAIN {
			return false
		}
		d.connected.Store(true)
		return true
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return max(n, 0), err
}

// InterruptWrites implements Port.
func (d *Device) InterruptWrites() { _ = d.file.SetWriteDeadline(time.Unix(1, 0)) }

// ResumeWrites implements Port.
func (d *Device) ResumeWrites() { _ = d.file.SetWriteDeadline(time.Time{}) }

// Close implements Port.
func (d *Device) Close() error { return d.file.Close() }
