// Package api is what the host can ask of the agent: HTTP/2 routes over the guest channel, as
// docs/reference/guest-protocol.md lists them. It reads requests and writes answers; the work is
// done in the packages process, files, identity, clock and power.
package api

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/channel"
	"scaibunker/guest-agent/internal/hold"
	"scaibunker/guest-agent/internal/identity"
	"scaibunker/guest-agent/internal/process"
)

// Server answers the host.
type Server struct {
	Version  string
	Execs    *process.Table
	Users    *accounts.Directory
	Identity *identity.Holder
	Hold     *hold.Holder
	// ReplaceToken has the host known by another token from now on.
	ReplaceToken func(token []byte)
	// PowerOff shuts the machine down; it is called once the answer is on its way.
	PowerOff func()

	// slots bounds how many file operations hold a thread at a time.
	slots chan struct{}
}

const (
	maxStreams     = 250
	maxHeader      = 64 << 10
	maxFrame       = 64 << 10
	fileOperations = 32
)

// Windows are the flow-control limits, which are also what request bodies may take of the agent's
// memory.
type Windows struct {
	// Connection is what all streams together may send without it having been used.
	Connection int
}

// StreamWindow is what one stream may send without it having been used.
const StreamWindow = 128 << 10

// Serve answers on every session that the listener opens. It returns when the listener fails.
func (s *Server) Serve(listener net.Listener, windows Windows) error {
	s.slots = make(chan struct{}, fileOperations)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:        s.routes(),
		Protocols:      &protocols,
		MaxHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerStream:     StreamWindow,
			MaxReceiveBufferPerConnection: windows.Connection,
			MaxReadFrameSize:              maxFrame,
		},
		ConnContext: withSession,
		ErrorLog:    log.New(io.Discard, "", 0),
	}
	return server.Serve(listener)
}

type sessionKey struct{}

func withSession(ctx context.Context, conn net.Conn) context.Context {
	if session, ok := conn.(*channel.Session); ok {
		return context.WithValue(ctx, sessionKey{}, session.Ended())
	}
	return ctx
}

// lostGrace is how long a cancelled request waits to learn that its whole session is gone: after
// an HTTP/2 error the streams are cancelled just before the session ends.
const lostGrace = 50 * time.Millisecond

// sessionLost says why a request was cancelled: because the session broke (true), or because the
// host reset this one stream.
func sessionLost(ctx context.Context) bool {
	ended, _ := ctx.Value(sessionKey{}).(<-chan struct{})
	if ended == nil {
		return false
	}
	select {
	case <-ended:
		return true
	default:
	}
	timer := time.NewTimer(lostGrace)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}
