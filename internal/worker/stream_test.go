package worker

import (
	"context"
	"slices"
	"sync"
	"testing"

	"tarn/internal/lake"
)

// The state that a replay gives plus what the feed gives after it must be the
// whole history, without a gap, whoever writes at the same time.
func TestReplayIsAPrefix(t *testing.T) {
	var state []lake.Entry
	s := NewStream(func() []lake.Entry { return append([]lake.Entry(nil), state...) })
	const writers, each = 8, 200
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				s.Do(func() []lake.Entry {
					e := lake.Entry{Drop: &lake.Drop{TableUUID: "x"}}
					state = append(state, e)
					return []lake.Entry{e}
				})
			}
		})
	}
	for range 20 {
		replay, end, f := s.subscribe()
		if int64(len(replay)) != end {
			t.Fatalf("replay has %d entries at end %d", len(replay), end)
		}
		last := end
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			if last == writers*each {
				break
			}
			batch, err := f.next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if len(batch) > batchEntries {
				t.Fatalf("a batch of %d", len(batch))
			}
			for _, e := range batch {
				if e.Number != last+1 {
					t.Fatalf("number %d after %d", e.Number, last)
				}
				last = e.Number
			}
		}
		cancel()
		f.close()
	}
	wg.Wait()
	if s.End() != writers*each {
		t.Fatalf("end %d", s.End())
	}
	if len(s.mu.feeds) != 0 {
		t.Fatalf("%d feeds left", len(s.mu.feeds))
	}
}

func TestFeedBounds(t *testing.T) {
	s := NewStream(func() []lake.Entry { return nil })
	_, _, f := s.subscribe()
	defer f.close()
	big := lake.Entry{Publish: &lake.Publish{Files: make([]lake.BaseFile, 2*batchWeight)}}
	small := lake.Entry{Drop: &lake.Drop{}}
	s.Do(func() []lake.Entry { return []lake.Entry{small, big, big, small} })
	var sizes []int
	for total := 0; total < 4; {
		b, err := f.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(b))
		total += len(b)
	}
	if len(sizes) != 4 {
		t.Fatalf("large entries share a batch: %v", sizes)
	}
	s.Do(func() []lake.Entry {
		many := make([]lake.Entry, feedBound+1)
		for i := range many {
			many[i] = small
		}
		return many
	})
	if _, err := f.next(t.Context()); lake.CodeOf(err) != lake.CodeNotReady {
		t.Fatalf("a feed too far behind gives %v", err)
	}
}

// Behind is told by the latest generation alone, and by nobody when there is none.
func TestBehindIsOfTheLatest(t *testing.T) {
	s := NewStream(func() []lake.Entry { return nil })
	add := func(n int) {
		s.Do(func() []lake.Entry { return make([]lake.Entry, n) })
	}
	want := func(n int64) {
		t.Helper()
		if got := s.Behind(); got != n {
			t.Fatalf("%d entries behind, want %d", got, n)
		}
	}
	add(10)
	want(0)
	_, _, old := s.subscribe()
	add(5)
	want(5)
	old.showed(12)
	want(3)
	old.showed(0) // said before its replay was shown
	want(3)
	_, _, f := s.subscribe()
	want(0)
	add(4)
	old.showed(18)
	want(4)
	old.close()
	want(4)
	f.showed(19)
	want(0)
	add(1)
	f.close()
	want(0)
}

// Entries that belong together reach a worker together, however many they are.
func TestFeedKeepsTogetherWhatBelongsTogether(t *testing.T) {
	s := NewStream(func() []lake.Entry { return nil })
	_, _, f := s.subscribe()
	group := func(n int) {
		s.Do(func() []lake.Entry {
			out := make([]lake.Entry, n)
			for i := range out {
				out[i] = lake.Entry{Drop: &lake.Drop{}, More: i < n-1}
			}
			return out
		})
	}
	group(3 * batchEntries)
	group(10)
	group(batchEntries - 5)
	group(1)
	var got []int
	for {
		batch, err := f.take()
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) == 0 {
			break
		}
		if batch[len(batch)-1].More {
			t.Errorf("a batch of %d ends within a group", len(batch))
		}
		got = append(got, len(batch))
	}
	if want := []int{3 * batchEntries, 10, batchEntries - 4}; !slices.Equal(got, want) {
		t.Errorf("batches of %v, want %v", got, want)
	}
	f.close()
}
