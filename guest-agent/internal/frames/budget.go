package frames

import "sync"

// Budget bounds what all logs of the machine hold together, for a guest may have as little as
// 64 MiB of memory. When it is overdrawn, finished commands lose their history first, oldest
// first; then running ones keep less (see Log).
type Budget struct {
	limit int64

	mu       sync.Mutex
	used     int64
	finished []*Log
}

// NewBudget allows all logs together about limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// charge books n bytes (negative: gives back) and says whether the budget is overdrawn. The caller
// holds its own log's lock; histories of other logs are dropped by relieve, without that lock.
func (b *Budget) charge(n int64) (over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
	return b.used > b.limit
}

// retire notes that a log is complete, so that its history may be dropped under pressure.
func (b *Budget) retire(l *Log) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finished = append(b.finished, l)
}

// forget removes a log that is gone for good.
func (b *Budget) forget(l *Log) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.finished {
		if other == l {
			b.finished = append(b.finished[:i], b.finished[i+1:]...)
			return
		}
	}
}

// relieve drops histories of finished commands until the budget holds or none is left. It says
// whether the budget is still overdrawn.
func (b *Budget) relieve() (over bool) {
	for {
		b.mu.Lock()
		if b.used <= b.limit || len(b.finished) == 0 {
			over := b.used > b.limit
			b.mu.Unlock()
			return over
		}
		oldest := b.finished[0]
		b.finished = b.finished[1:]
		b.mu.Unlock()
		oldest.dropHistory()
	}
}
