package engine

import (
	"cmp"
	"slices"
	"strings"

	"tarn/internal/change"
	"tarn/internal/compaction"
	"tarn/internal/dataset"
	"tarn/internal/lake"
)

// newMember puts a dataset's activities together. Without start, at open, the
// committer follows once everything is recovered.
func (e *Engine) newMember(ds *dataset.Dataset, start bool) *member {
	m := &member{ds: ds, compactor: &compaction.Compactor{
		Dataset: ds, Shop: e.shop, TargetFileBytes: e.set.TargetFileBytes, DeadShare: e.set.CompactDeadShare,
	}}
	if start {
		m.start(e)
	}
	return m
}

func (m *member) start(e *Engine) {
	m.committer = change.Start(e.ctx, m.ds, e.shared)
	m.compactor.Committer = m.committer
}

// addMember makes a dataset known.
func (e *Engine) addMember(m *member) {
	s := m.ds.State()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.byName[s.Name.Key()] = m
	e.mu.byUUID[s.UUID] = m
}

func (e *Engine) removeMember(s *dataset.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.freeName(s.Name, e.mu.byUUID[s.UUID])
	delete(e.mu.byUUID, s.UUID)
}

func (e *Engine) renameMember(m *member, from, to lake.Name) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.freeName(from, m)
	e.mu.byName[to.Key()] = m
}

// freeName takes a name from a dataset. The catalog gave it up before, so another
// dataset may have it already. mu is held.
func (e *Engine) freeName(name lake.Name, m *member) {
	if e.mu.byName[name.Key()] == m {
		delete(e.mu.byName, name.Key())
	}
}

// member finds a dataset by name.
func (e *Engine) member(name lake.Name) (*member, error) {
	e.mu.RLock()
	m := e.mu.byName[name.Key()]
	e.mu.RUnlock()
	if m == nil {
		return nil, NoDataset(name)
	}
	return m, nil
}

// called is the state of a dataset that a request found by a name: it may have been dropped
// or renamed since.
func (m *member) called(name lake.Name) (*dataset.State, error) {
	s := m.ds.State()
	if s.Dropped || s.Name.Key() != name.Key() {
		return nil, NoDataset(name)
	}
	return s, nil
}

// NoDataset is the error for a name that no dataset has.
func NoDataset(name lake.Name) error {
	return lake.Errorf(lake.CodeDatasetNotFound, "there is no dataset %s", name).
		WithHint("see GET /datasets, or `tarn datasets`, for what there is")
}

// members gives all datasets, by name.
func (e *Engine) members() []*member {
	e.mu.RLock()
	out := make([]*member, 0, len(e.mu.byUUID))
	for _, m := range e.mu.byUUID {
		out = append(out, m)
	}
	e.mu.RUnlock()
	slices.SortFunc(out, func(a, b *member) int {
		x, y := a.ds.State().Name, b.ds.State().Name
		return cmp.Or(strings.Compare(x.Key(), y.Key()), strings.Compare(a.ds.State().UUID, b.ds.State().UUID))
	})
	return out
}
