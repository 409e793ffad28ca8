package serving

import (
	"sync"

	"github.com/zeebo/xxh3"
)

// luck is how looking for the first rows went, by the form of the text: where few rows
// pass the condition it is in vain, and then it is done less and less often. A form may be
// as long as a query, so its hash stands for it: two that share one share their luck.
type luck struct {
	mu struct {
		sync.Mutex
		forms map[uint64]*tries
	}
}

// tries is how often in a row it was in vain, and for how many texts nobody looks.
type tries struct{ missed, wait int }

// Bounds of what is noted.
const (
	mostForms = 1000
	mostWaits = 64
)

func newLuck() *luck {
	l := &luck{}
	l.mu.forms = map[uint64]*tries{}
	return l
}

// try says whether to look.
func (l *luck) try(form string) bool {
	key := xxh3.HashString(form)
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.mu.forms[key]
	if t == nil || t.wait == 0 {
		return true
	}
	t.wait--
	return false
}

// found notes that there were enough rows.
func (l *luck) found(form string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.forms, xxh3.HashString(form))
}

// missed notes that there were too few.
func (l *luck) missed(form string) {
	key := xxh3.HashString(form)
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.mu.forms[key]
	if t == nil {
		if len(l.mu.forms) == mostForms {
			clear(l.mu.forms)
		}
		t = &tries{}
		l.mu.forms[key] = t
	}
	t.missed++
	t.wait = min(1<<min(t.missed, 10), mostWaits)
}
