package frames

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

const patience = 20 * time.Second

// numbered returns a frame of size bytes that says which it is.
func numbered(i, size int) []byte {
	payload := make([]byte, size-HeaderSize)
	copy(payload, fmt.Sprint(i, ";"))
	return Encode(Stdout, payload)
}

// readAll reads what there is until the end and gives the bytes, and how many were missing.
func readAll(t *testing.T, r *Reader) (data []byte, gap int64) {
	t.Helper()
	for {
		batch := r.Next(10_000)
		gap += batch.Gap
		for _, frame := range batch.Frames {
			data = append(data, frame...)
		}
		r.Sent()
		if batch.Final {
			return data, gap
		}
		if batch.More != nil {
			select {
			case <-batch.More:
			case <-time.After(patience):
				t.Fatal("no more frames")
			}
		}
	}
}

func TestReaderGetsAllFramesInOrder(t *testing.T) {
	log := NewLog(NewBudget(64 << 20))
	var want []byte
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := range 500 {
			frame := numbered(i, 20+i)
			want = append(want, frame...)
			for room := log.Room(0); room != nil; room = log.Room(0) {
				<-room
			}
			log.Append(bytes.Clone(frame))
		}
		log.Append(Encode(Exit, nil))
		want = append(want, Encode(Exit, nil)...)
	})
	got, gap := readAll(t, log.ReadOldest())
	wait.Wait()
	if gap != 0 || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes with a gap of %d, want %d", len(got), gap, len(want))
	}
}

func TestReplayFromEveryOffset(t *testing.T) {
	log := NewLog(NewBudget(64 << 20))
	random := rand.New(rand.NewPCG(3, 4))
	var all []byte
	for i := range 20 {
		frame := numbered(i, 10+random.IntN(30))
		all = append(all, frame...)
		log.Append(frame)
	}
	log.Append(Encode(Exit, []byte("{}")))
	all = append(all, Encode(Exit, []byte("{}"))...)
	for offset := range len(all) + 1 {
		reader, err := log.ReadFrom(int64(offset))
		if err != nil {
			t.Fatalf("offset %d: %v", offset, err)
		}
		if got, gap := readAll(t, reader); gap != 0 || !bytes.Equal(got, all[offset:]) {
			t.Fatalf("offset %d: %d bytes, gap %d", offset, len(got), gap)
		}
	}
	for _, offset := range []int64{-1, int64(len(all)) + 1} {
		if _, err := log.ReadFrom(offset); !errors.Is(err, ErrNotKept) {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
}

func TestWindowOfSentBytesIsKept(t *testing.T) {
	log := NewLog(NewBudget(64 << 20))
	reader := log.ReadOldest()
	const size, count = 1000, 1000
	var all []byte
	for i := range count {
		frame := numbered(i, size)
		all = append(all, frame...)
		log.Append(frame)
		reader.Next(1 << 30)
		reader.Sent()
	}
	start, end, closed := log.Span()
	if end != size*count || closed {
		t.Fatalf("end %d, closed %v", end, closed)
	}
	if kept := end - start; kept < ReplayWindow || kept > ReplayWindow+size {
		t.Fatalf("%d bytes are kept", kept)
	}
	if start%size != 0 {
		t.Fatal("what is kept does not begin with a whole frame")
	}
	if _, err := log.ReadFrom(start - 1); !errors.Is(err, ErrNotKept) {
		t.Fatalf("read before the window: %v", err)
	}
	log.Append(Encode(Exit, nil))
	got, gap := readAll(t, log.ReadOldest())
	if gap != start || !bytes.Equal(got, append(all[start:], Encode(Exit, nil)...)) {
		t.Fatalf("gap %d, want %d; %d bytes", gap, start, len(got))
	}
}

func TestUnsentBytesAreNeverDropped(t *testing.T) {
	log := NewLog(NewBudget(64 << 20))
	for i := range 100 {
		log.Append(numbered(i, 60_000)) // far beyond every window
	}
	if start, end, _ := log.Span(); start != 0 || end != 6_000_000 {
		t.Fatalf("kept %d to %d", start, end)
	}
}

func TestRoomFollowsTheReader(t *testing.T) {
	log := NewLog(NewBudget(64 << 20))
	reader := log.ReadOldest()
	for i := 0; log.Room(0) == nil; i++ {
		log.Append(numbered(i, 1000))
	}
	if _, end, _ := log.Span(); end < unsentLimit || end > unsentLimit+1000 {
		t.Fatalf("no room after %d bytes", end)
	}
	room := log.Room(0)
	if log.Room(10_000) != nil {
		t.Fatal("no extra room")
	}
	reader.Next(1 << 30)
	select {
	case <-room:
		t.Fatal("room before anything was sent")
	default:
	}
	reader.Sent()
	select {
	case <-room:
	case <-time.After(patience):
		t.Fatal("no room after all was sent")
	}
	if log.Room(0) != nil {
		t.Fatal("no room after all was sent")
	}
}

func TestNothingFollowsTheFinalFrame(t *testing.T) {
	log := NewLog(NewBudget(64 << 20))
	log.Append(Encode(Exit, nil))
	log.Append(Encode(Stdout, []byte("late")))
	log.Append(Encode(Exit, nil))
	if got, _ := readAll(t, log.ReadOldest()); !bytes.Equal(got, Encode(Exit, nil)) {
		t.Fatalf("got % x", got)
	}
	select {
	case <-log.Done():
	default:
		t.Fatal("not done")
	}
}

func TestSlowReaderIsToldWhatItMissed(t *testing.T) {
	log := NewLog(NewBudget(64 << 20))
	slow, fast := log.ReadOldest(), log.ReadOldest()
	log.Append(numbered(0, 100))
	slow.Next(1)
	for i := range 1000 {
		log.Append(numbered(i, 1000))
		fast.Next(1 << 30)
		fast.Sent()
	}
	log.Append(Encode(Exit, nil))
	start, _, _ := log.Span()
	batch := slow.Next(1)
	if batch.Gap != start-100 {
		t.Fatalf("gap %d, want %d", batch.Gap, start-100)
	}
	if Kind(batch.Frames[0][0]) != Stdout || len(batch.Frames[0]) != 1000 {
		t.Fatal("what follows the gap is not a whole frame")
	}
}

func TestBudgetTakesHistoryOfTheFinishedFirst(t *testing.T) {
	budget := NewBudget(300_000)
	finished := NewLog(budget)
	for i := range 100 {
		finished.Append(numbered(i, 1000))
	}
	finished.Append(Encode(Exit, []byte("{}")))
	running := NewLog(budget)
	reader := running.ReadOldest()
	for i := range 1000 {
		running.Append(numbered(i, 1000))
		reader.Next(1 << 30)
		reader.Sent()
	}
	if start, end, _ := running.Span(); end-start > ReplayWindow+1000 || budget.used > 330_000 {
		t.Fatalf("%d bytes kept, %d booked", end-start, budget.used)
	}
	got, gap := readAll(t, finished.ReadOldest())
	if gap != 100_000 || !bytes.Equal(got, Encode(Exit, []byte("{}"))) {
		t.Fatalf("gap %d, %d bytes: not even the exit is left", gap, len(got))
	}
	running.Free()
	finished.Free()
	if budget.used != 0 {
		t.Fatalf("%d bytes are still booked", budget.used)
	}
}

func TestOverdrawnBudgetShortensWindows(t *testing.T) {
	budget := NewBudget(100_000)
	logs := make([]*Log, 10)
	for i := range logs {
		logs[i] = NewLog(budget)
		for j := 0; logs[i].Room(0) == nil; j++ {
			logs[i].Append(numbered(j, 1000))
		}
	}
	if _, end, _ := logs[9].Span(); end > tightUnsent+1000 {
		t.Fatalf("%d unsent bytes were taken although the budget is overdrawn", end)
	}
}

func TestFreeEndsEverybody(t *testing.T) {
	log := NewLog(NewBudget(64 << 20))
	for i := range 200 {
		log.Append(numbered(i, 1000))
	}
	room := log.Room(0)
	reader := log.ReadOldest()
	reader.Next(1 << 30)
	more := reader.Next(1).More
	log.Free()
	for what, ended := range map[string]<-chan struct{}{"room": room, "more": more, "done": log.Done()} {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Errorf("%s still waits", what)
		}
	}
	if !reader.Next(1).Final {
		t.Error("the reader has no end")
	}
}
