package serving

import (
	"container/list"
	"sync"

	"tarn/internal/duck"
)

// gated keeps what the gate said of texts: it says the same of the same text as
// long as no dataset got, lost or changed a name. What it refused is not kept.
type gated struct {
	mu struct {
		sync.Mutex
		texts  map[string]*list.Element // of gatedText
		recent *list.List               // the least recently used last
	}
}

type gatedText struct {
	sql     string
	names   int64 // version of the names that it was checked against
	checked duck.Checked
}

// Texts that are kept, and how long each may be.
const (
	mostGated  = 1000
	longestSQL = 4 << 10
)

func newGated() *gated {
	g := &gated{}
	g.mu.texts, g.mu.recent = map[string]*list.Element{}, list.New()
	return g
}

func (g *gated) get(sql string, names int64) (duck.Checked, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.mu.texts[sql]
	if at == nil {
		return duck.Checked{}, false
	}
	t := at.Value.(gatedText)
	if t.names != names {
		return duck.Checked{}, false
	}
	g.mu.recent.MoveToFront(at)
	return t.checked, true
}

func (g *gated) put(sql string, names int64, checked duck.Checked) {
	if len(sql) > longestSQL {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := g.mu.texts[sql]; at != nil {
		g.mu.recent.Remove(at)
	}
	g.mu.texts[sql] = g.mu.recent.PushFront(gatedText{sql, names, checked})
	if g.mu.recent.Len() > mostGated {
		last := g.mu.recent.Back()
		delete(g.mu.texts, g.mu.recent.Remove(last).(gatedText).sql)
	}
}
