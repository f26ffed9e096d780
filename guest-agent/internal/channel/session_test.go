package channel_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"scaibunker/guest-agent/internal/channel"
	"scaibunker/guest-agent/internal/channeltest"
)

const patience = 20 * time.Second

// guest accepts sessions on a wire.
type guest struct {
	*testing.T
	wire     *channeltest.Wire
	token    []byte
	sessions chan *channel.Session
}

func newGuest(t *testing.T) *guest {
	g := &guest{T: t, wire: channeltest.New(), token: channeltest.Token(), sessions: make(chan *channel.Session, 16)}
	listener := channel.NewListener(g.wire, g.token)
	go func() {
		defer close(g.sessions)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			g.sessions <- conn.(*channel.Session)
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return g
}

func (g *guest) open() (*channeltest.Host, *channel.Session) {
	g.Helper()
	host, err := g.wire.Open(g.token)
	if err != nil {
		g.Fatal(err)
	}
	return host, g.next()
}

func (g *guest) next() *channel.Session {
	g.Helper()
	select {
	case session := <-g.sessions:
		return session
	case <-time.After(patience):
		g.Fatal("no session")
		return nil
	}
}

// serve reads the session like a server does, and gives what it reads when it ends.
func (g *guest) serve(session *channel.Session) <-chan string {
	done := make(chan string, 1)
	go func() {
		data, _ := io.ReadAll(session)
		session.Close()
		done <- string(data)
	}()
	return done
}

func (g *guest) receive(done <-chan string) string {
	g.Helper()
	select {
	case text := <-done:
		return text
	case <-time.After(patience):
		g.Fatal("the session does not end")
		return ""
	}
}

func (g *guest) isOver(session *channel.Session) {
	g.Helper()
	select {
	case <-session.Ended():
	case <-time.After(patience):
		g.Fatal("the session is not over")
	}
}

func readExactly(t *testing.T, from io.Reader, n int) string {
	t.Helper()
	buffer := make([]byte, n)
	if _, err := io.ReadFull(from, buffer); err != nil {
		t.Fatal(err)
	}
	return string(buffer)
}

func TestBytesPassBothWays(t *testing.T) {
	g := newGuest(t)
	host, session := g.open()
	if _, err := host.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if got := readExactly(t, session, 8); got != "question" {
		t.Fatalf("guest read %q", got)
	}
	if _, err := session.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if got := readExactly(t, host, 6); got != "answer" {
		t.Fatalf("host read %q", got)
	}
}

func TestStaleBytesBeforeTheFirstHelloAreDropped(t *testing.T) {
	g := newGuest(t)
	old := g.wire.Connect()
	_, _ = old.Write([]byte("half a frame of a daemon that died"))
	_, _ = old.Write(g.token[:17])
	host, session := g.open()
	_, _ = host.Write([]byte("fresh"))
	if got := readExactly(t, session, 5); got != "fresh" {
		t.Fatalf("guest read %q", got)
	}
}

func TestHangUpEndsTheSession(t *testing.T) {
	g := newGuest(t)
	host, session := g.open()
	done := g.serve(session)
	_, _ = host.Write([]byte("last words"))
	host.Close()
	if got := g.receive(done); got != "last words" {
		t.Fatalf("guest read %q", got)
	}
	g.isOver(session)
	g.open()
}

func TestNewHelloEndsTheSessionWithoutHangUp(t *testing.T) {
	g := newGuest(t)
	host, session := g.open()
	done := g.serve(session)
	// The host side of a serial port is replaced faster than the guest looks.
	_, _ = host.Write([]byte("half a fra"))
	nonce := channeltest.Nonce()
	if err := host.Hello(g.token, nonce); err != nil {
		t.Fatal(err)
	}
	if err := host.AwaitEcho(nonce); err != nil {
		t.Fatal(err)
	}
	if got := g.receive(done); !strings.HasPrefix("half a fra", got) {
		t.Fatalf("the old session read %q", got)
	}
	g.isOver(session)
	_, _ = host.Write([]byte("new"))
	if got := readExactly(t, g.next(), 3); got != "new" {
		t.Fatalf("the new session read %q", got)
	}
}

func TestHelloArrivesByteByByte(t *testing.T) {
	g := newGuest(t)
	_, first := g.open()
	done := g.serve(first)
	host, nonce := g.wire.Connect(), channeltest.Nonce()
	for _, b := range append(bytes.Clone(g.token), nonce...) {
		_, _ = host.Write([]byte{b})
		time.Sleep(time.Millisecond) // lets the reader see the pieces; the outcome does not depend on it
	}
	if err := host.AwaitEcho(nonce); err != nil {
		t.Fatal(err)
	}
	g.receive(done)
	g.isOver(first)
	g.next()
}

func TestOnlyTheLastOfSeveralHellosIsAnswered(t *testing.T) {
	g := newGuest(t)
	host := g.wire.Connect()
	last := channeltest.Nonce()
	var all []byte
	for _, nonce := range [][]byte{channeltest.Nonce(), channeltest.Nonce(), last, last} {
		all = append(append(all, g.token...), nonce...)
	}
	_, _ = host.Write(all)
	if err := host.AwaitEcho(last); err != nil {
		t.Fatal(err)
	}
	session := g.next()
	_, _ = host.Write([]byte("x"))
	readExactly(t, session, 1)
	if host.Unread() != 0 {
		t.Fatal("more than one answer")
	}
}

func TestRepeatedHelloIsPassedOver(t *testing.T) {
	g := newGuest(t)
	host, nonce := g.wire.Connect(), channeltest.Nonce()
	_ = host.Hello(g.token, nonce)
	if err := host.AwaitEcho(nonce); err != nil {
		t.Fatal(err)
	}
	session := g.next()
	// Sent before the answer was seen; split, so that its beginning could pass for data.
	repeat := append(bytes.Clone(g.token), nonce...)
	go func() {
		_, _ = host.Write(repeat[:9])
		time.Sleep(5 * time.Millisecond)
		_, _ = host.Write(repeat[9:])
		_, _ = host.Write([]byte("preface"))
	}()
	if got := readExactly(t, session, 7); got != "preface" {
		t.Fatalf("guest read %q", got)
	}
	if host.Unread() != 0 {
		t.Fatal("the repeated hello was answered")
	}
}

func TestInsistentHelloIsAnsweredAgain(t *testing.T) {
	g := newGuest(t)
	host, nonce := g.wire.Connect(), channeltest.Nonce()
	hello := append(bytes.Clone(g.token), nonce...)
	_, _ = host.Write(bytes.Repeat(hello, 4)) // at once, so that none comes after the answer
	if err := host.AwaitEcho(nonce); err != nil {
		t.Fatal(err)
	}
	first := g.next()
	done := g.serve(first)
	for range 3 {
		_ = host.Hello(g.token, nonce)
		waitFor(t, "the hello to be read", func() bool { return host.Undelivered() == 0 })
	}
	if err := host.AwaitEcho(nonce); err != nil {
		t.Fatal(err)
	}
	g.receive(done)
	g.next()
}

func TestDataThatBeginsLikeTheTokenIsDelivered(t *testing.T) {
	g := newGuest(t)
	host, session := g.open()
	sent := append(bytes.Clone(g.token[:30]), "but no"...)
	go func() {
		_, _ = host.Write(sent[:30])
		time.Sleep(5 * time.Millisecond)
		_, _ = host.Write(sent[30:])
	}()
	if got := readExactly(t, session, len(sent)); got != string(sent) {
		t.Fatalf("guest read %q", got)
	}
}

func TestWriteOfADeadSessionDoesNotHoldUpTheNext(t *testing.T) {
	g := newGuest(t)
	host, first := g.open()
	reading := g.serve(first)
	failed := make(chan error, 1)
	go func() {
		_, err := first.Write(make([]byte, 3*channeltest.Capacity))
		failed <- err
	}()
	waitFor(t, "a full channel", func() bool { return host.Unread() == channeltest.Capacity })
	// The same host, which has not hung up and reads nothing meanwhile.
	nonce := channeltest.Nonce()
	if err := host.Hello(g.token, nonce); err != nil {
		t.Fatal(err)
	}
	g.receive(reading)
	select {
	case err := <-failed:
		if err == nil {
			t.Fatal("the write succeeded")
		}
	case <-time.After(patience):
		t.Fatal("the write of the dead session still waits")
	}
	if err := host.AwaitEcho(nonce); err != nil {
		t.Fatal(err)
	}
	second := g.next()
	if _, err := second.Write([]byte("alive")); err != nil {
		t.Fatal(err)
	}
	if got := readExactly(t, host, 5); got != "alive" {
		t.Fatalf("host read %q", got)
	}
}

func TestClosedSessionLetsTheNextIn(t *testing.T) {
	g := newGuest(t)
	_, first := g.open()
	reading := g.serve(first)
	first.Close() // as the server does after a protocol error; its reader still waits
	g.isOver(first)
	if _, err := first.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("write after close: %v", err)
	}
	g.open()
	g.receive(reading)
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
