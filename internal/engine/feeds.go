package engine

import (
	"sync"

	"tarn/internal/lake"
)

// feeds bounds how many change feeds are read at once. Feeds have places of their own,
// so that those who follow take none of the queries'.
type feeds struct {
	most int
	mu   struct {
		sync.Mutex
		open    int
		byOwner map[string]int // none that is 0
	}
}

func newFeeds(most int) *feeds {
	f := &feeds{most: most}
	f.mu.byOwner = map[string]int{}
	return f
}

// enter takes a place, and gives the function that leaves it. An owner with a name has
// at most half of the places: nobody keeps the others out.
func (f *feeds) enter(owner string) (leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	const hint = "end feeds that nobody needs and try again, or raise max_feeds"
	if f.mu.open >= f.most {
		return nil, lake.Errorf(lake.CodeOverloaded, "%d change feeds are being read", f.mu.open).WithHint(hint)
	}
	if own := f.mu.byOwner[owner]; owner != "" && own >= max(1, f.most/2) {
		return nil, lake.Errorf(lake.CodeOverloaded, "the token reads %d change feeds, half of all that may be", own).WithHint(hint)
	}
	f.mu.open++
	f.mu.byOwner[owner]++
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.mu.open--
		if f.mu.byOwner[owner]--; f.mu.byOwner[owner] == 0 {
			delete(f.mu.byOwner, owner)
		}
	}), nil
}

func (f *feeds) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.open
}
