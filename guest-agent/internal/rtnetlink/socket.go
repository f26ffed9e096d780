// Package rtnetlink speaks to the kernel of its links, addresses, routes and neighbours. It knows the few
// messages that the agent needs, and what they mean is decided by package network.
package rtnetlink

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// patience in seconds; the kernel answers at once, or not at all.
const patience = 5

// maxAnswer bounds what one question may be answered with: a guest can have any number of routes.
const maxAnswer = 16 << 20

var order = binary.NativeEndian

// Socket is one conversation with the kernel, for one goroutine.
type Socket struct {
	fd       int
	sequence uint32
	buffer   []byte
}

// Open begins a conversation in the network namespace of the process.
func Open() (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: patience}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &Socket{fd: fd, buffer: make([]byte, 64<<10)}, nil
}

// Close ends it.
func (s *Socket) Close() { unix.Close(s.fd) }

// change asks for something to be done, and waits until it is. body is the message's fixed part.
func (s *Socket) change(kind, flags uint16, body []byte, attributes ...attribute) error {
	return s.ask(kind, flags|unix.NLM_F_ACK, body, attributes, nil)
}

// dump asks for all there are of something; each is given to found without its header.
func (s *Socket) dump(kind uint16, body []byte, found func(message []byte)) error {
	return s.ask(kind, unix.NLM_F_DUMP, body, nil, found)
}

func (s *Socket) ask(kind, flags uint16, body []byte, attributes []attribute, found func([]byte)) error {
	s.sequence++
	request := make([]byte, unix.SizeofNlMsghdr, 256)
	request = append(request, body...)
	for _, a := range attributes {
		request = a.append(request)
	}
	order.PutUint32(request[0:], uint32(len(request)))
	order.PutUint16(request[4:], kind)
	order.PutUint16(request[6:], flags|unix.NLM_F_REQUEST)
	order.PutUint32(request[8:], s.sequence)
	if err := unix.Sendto(s.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	for total := 0; total < maxAnswer; {
		n, from, err := unix.Recvfrom(s.fd, s.buffer, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue // a program of the guest can send to our socket; only the kernel answers
		}
		total += n
		done, err := s.read(s.buffer[:n], found)
		if done || err != nil {
			return err
		}
	}
	return errors.New("netlink: an answer without end")
}

// read takes one datagram of an answer apart.
func (s *Socket) read(data []byte, found func([]byte)) (done bool, err error) {
	for len(data) >= unix.SizeofNlMsghdr {
		length := int(order.Uint32(data[0:]))
		if length < unix.SizeofNlMsghdr || length > len(data) {
			return true, errors.New("netlink: a message of the wrong length")
		}
		payload := data[unix.SizeofNlMsghdr:length]
		if order.Uint32(data[8:]) == s.sequence {
			switch order.Uint16(data[4:]) {
			case unix.NLMSG_DONE:
				return true, nil
			case unix.NLMSG_ERROR:
				if len(payload) < 4 {
					return true, errors.New("netlink: an error of the wrong length")
				}
				if number := int32(order.Uint32(payload)); number != 0 {
					return true, unix.Errno(-number)
				}
				return true, nil
			default:
				if found != nil {
					found(payload)
				}
			}
		}
		data = data[min(align(length), len(data)):]
	}
	return false, nil
}

// attribute is a kind and a value that follow a message's fixed part.
type attribute struct {
	kind  uint16
	value []byte
}

func (a attribute) append(message []byte) []byte {
	length := unix.SizeofRtAttr + len(a.value)
	message = order.AppendUint16(message, uint16(length))
	message = order.AppendUint16(message, a.kind)
	message = append(message, a.value...)
	for len(message)%unix.NLMSG_ALIGNTO != 0 {
		message = append(message, 0)
	}
	return message
}

func number(kind uint16, value uint32) attribute {
	return attribute{kind, order.AppendUint32(nil, value)}
}

// attributes of a message, after its fixed part of so many bytes.
func attributes(message []byte, fixed int) map[uint16][]byte {
	found := map[uint16][]byte{}
	for rest := message[min(align(fixed), len(message)):]; len(rest) >= unix.SizeofRtAttr; {
		length := int(order.Uint16(rest[0:]))
		if length < unix.SizeofRtAttr || length > len(rest) {
			break
		}
		found[order.Uint16(rest[2:])&^unix.NLA_F_NESTED] = rest[unix.SizeofRtAttr:length]
		rest = rest[min(align(length), len(rest)):]
	}
	return found
}

func align(length int) int {
	return (length + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
}
