package worker

import (
	"context"
	"sync"

	"tarn/internal/lake"
)

// A batch of entries handed to a worker is bounded by these; an entry that is
// larger than the weight alone goes alone.
const (
	batchEntries = 512
	batchWeight  = 4096 // files and deltas named in the entries
)

// feedBound is how many entries may wait for one generation. A generation that
// falls further behind is replaced: a replay is shorter than the queue.
const feedBound = 1 << 18

// Stream numbers the entries that workers hear, from 1.
//
// Do changes state and takes the numbers under one lock, and a replay is taken
// under the same lock, so that what a new worker hears first is always exactly
// the state as of the stream's end, and what it hears after is what follows.
// Entries are kept only until the generations that subscribed have taken them.
type Stream struct {
	replay func() []lake.Entry

	mu struct {
		sync.Mutex
		end   int64
		feeds map[*feed]struct{}
		// The feed of the latest generation, and the last entry that its queries are
		// known to see; before it said anything the end of its replay.
		latest *feed
		shown  int64
	}
}

// NewStream makes a stream. replay gives the entries that build the whole
// present state (a Publish and the pending deltas of each dataset); it is called
// under the stream's lock and must not call the stream. Its entries' numbers are
// set by the stream.
func NewStream(replay func() []lake.Entry) *Stream {
	s := &Stream{replay: replay}
	s.mu.feeds = map[*feed]struct{}{}
	return s
}

// Do runs change under the stream's lock and appends the entries it returns,
// setting their numbers. It gives the stream's end after them.
func (s *Stream) Do(change func() []lake.Entry) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := change()
	for i := range entries {
		s.mu.end++
		entries[i].Number = s.mu.end
	}
	if len(entries) > 0 {
		for f := range s.mu.feeds {
			f.push(entries)
		}
	}
	return s.mu.end
}

// End is the number of the last entry, 0 before the first.
func (s *Stream) End() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.end
}

// Behind is how many entries the latest worker has yet to show, as far as is
// known; 0 when there is none.
func (s *Stream) Behind() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.latest == nil {
		return 0
	}
	return s.mu.end - s.mu.shown
}

// subscribe takes a replay and starts a feed of everything after it.
func (s *Stream) subscribe() (replay []lake.Entry, end int64, f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	replay = s.replay()
	for i := range replay {
		replay[i].Number = s.mu.end
	}
	f = &feed{stream: s, wake: make(chan struct{}, 1)}
	s.mu.feeds[f] = struct{}{}
	s.mu.latest, s.mu.shown = f, s.mu.end
	return replay, s.mu.end, f
}

// feed is what one generation has not heard yet.
type feed struct {
	stream *Stream
	wake   chan struct{}

	mu struct {
		sync.Mutex
		queue    []lake.Entry
		overflow bool
	}
}

func (f *feed) push(entries []lake.Entry) {
	f.mu.Lock()
	if len(f.mu.queue)+len(entries) > feedBound {
		f.mu.overflow, f.mu.queue = true, nil
	}
	if !f.mu.overflow {
		f.mu.queue = append(f.mu.queue, entries...)
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// next waits for entries and gives a bounded batch of them, in order. It fails
// when ctx ends or when the generation fell too far behind.
func (f *feed) next(ctx context.Context) ([]lake.Entry, error) {
	for {
		batch, err := f.take()
		if err != nil || len(batch) > 0 {
			return batch, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.wake:
		}
	}
}

func (f *feed) take() ([]lake.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.overflow {
		return nil, lake.Errorf(lake.CodeNotReady, "the worker fell more than %d entries behind", feedBound)
	}
	n, weight := 0, 0
	for n < len(f.mu.queue) && n < batchEntries {
		weight += weightOf(f.mu.queue[n])
		if n > 0 && weight > batchWeight {
			break
		}
		n++
	}
	n = f.whole(n)
	batch := f.mu.queue[:n:n]
	if f.mu.queue = f.mu.queue[n:]; len(f.mu.queue) == 0 {
		f.mu.queue = nil
	}
	return batch, nil
}

// whole is the number of entries to take of about n, so that none is parted from those
// that belong with it: fewer if that leaves any, else more. mu is held.
func (f *feed) whole(n int) int {
	for less := n; less > 0; less-- {
		if !f.mu.queue[less-1].More {
			return less
		}
	}
	for n < len(f.mu.queue) && n > 0 && f.mu.queue[n-1].More {
		n++
	}
	return n
}

// showed notes the last entry that the generation's queries see.
func (f *feed) showed(applied int64) {
	f.stream.mu.Lock()
	defer f.stream.mu.Unlock()
	if f.stream.mu.latest == f {
		f.stream.mu.shown = max(f.stream.mu.shown, applied)
	}
}

func weightOf(e lake.Entry) int {
	switch {
	case e.Publish != nil:
		return 1 + len(e.Publish.Files)
	case e.Apply != nil:
		return 1 + len(e.Apply.Deltas)
	default:
		return 1
	}
}

// close ends the feed; the stream keeps nothing for it from now on.
func (f *feed) close() {
	f.stream.mu.Lock()
	delete(f.stream.mu.feeds, f)
	if f.stream.mu.latest == f {
		f.stream.mu.latest = nil
	}
	f.stream.mu.Unlock()
}
