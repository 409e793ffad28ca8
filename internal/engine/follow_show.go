package engine

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"tarn/internal/base"
	"tarn/internal/dataset"
	"tarn/internal/delta"
	"tarn/internal/format"
	"tarn/internal/lake"
)

type catalogVersion = format.Version

// transition is the way from the instant that is shown to the next one, prepared so
// that showing it cannot fail.
type transition struct {
	version  *catalogVersion
	datasets []step
	dropped  []*member
}

// step is what becomes of one dataset.
type step struct {
	entry  format.DatasetEntry
	log    *followed
	member *member      // nil: it is new
	deltas []lake.Delta // to be shown

	table   *base.Table // nil: the base is as it was
	files   []lake.BaseFile
	content bool     // the base changed by more than folds
	left    []string // files that the base has no more
}

// prepare finds out what a version and the deltas within the cut are, beside what is
// shown.
func (f *follower) prepare(ctx context.Context, v *catalogVersion) (t transition, err error) {
	t.version, t.datasets = v, make([]step, len(v.Datasets))
	open := f.judgeFound(v)
	there := map[string]bool{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(f.atOnce())
	for i, entry := range v.Datasets {
		there[entry.TableUUID] = true
		g.Go(func() (err error) {
			t.datasets[i], err = f.prepareDataset(gctx, entry, open)
			return lake.Step("dataset "+entry.LakeName().String(), err)
		})
	}
	if err := g.Wait(); err != nil {
		return t, err
	}
	for _, m := range f.engine.members() {
		if !there[m.ds.State().UUID] {
			t.dropped = append(t.dropped, m)
		}
	}
	return t, nil
}

func (f *follower) prepareDataset(ctx context.Context, entry format.DatasetEntry, open map[string]bool) (s step, err error) {
	e := f.engine
	s.entry, s.log = entry, f.logs[entry.TableUUID]
	e.mu.RLock()
	s.member = e.mu.byUUID[entry.TableUUID]
	e.mu.RUnlock()
	var before *dataset.State
	folded, through, last := int64(0), int64(0), entry.TrimmedThrough
	if s.member != nil {
		before = s.member.ds.State()
		folded, through, last = before.FoldedThrough, before.Table.Through(), before.Sequence
	}
	if s.log.jumped {
		last = entry.TrimmedThrough
	}
	if before == nil || s.log.jumped || before.Table.MetadataKey() != entry.Metadata {
		if s.table, err = base.Load(ctx, e.shop.FS, entry.Metadata); err != nil {
			return s, err
		}
		if s.files, err = e.shop.Readable(ctx, s.table); err != nil {
			return s, err
		}
		folded, through = s.table.FoldedThrough(), s.table.Through()
		s.content = before != nil && !s.table.OnlyFolded(before.Table)
	}
	if s.table != nil && before != nil {
		s.left = without(keysOf(before.Files), keysOf(s.files))
	}
	s.deltas = visible(s.log.found, f.cut, through, open)
	if s.table != nil && before != nil && !s.content {
		s.content = takesContent(s.table, s.deltas)
	}
	if n := len(s.deltas); n > 0 {
		last = s.deltas[n-1].Sequence
	}
	if last < through {
		key := delta.Key(entry.TableUUID, last+1)
		err := lake.Errorf(lake.CodeDamaged, "the base tells of changes up to sequence %d, the newest delta is %d", through, last)
		err.Step = key
		return s, err.WithHint("restore %s from a backup", key)
	}
	return s, f.bring(ctx, &s, folded)
}

// takesContent says whether a content commit took the sequence of one of the deltas: one
// after which no row stays, where none was in the base, leaves no snapshot to tell it.
func takesContent(t *base.Table, deltas []lake.Delta) bool {
	return slices.ContainsFunc(deltas, func(d lake.Delta) bool {
		return d.Empty() && d.Seal == nil && d.Sequence <= t.FoldedThrough() && !t.SchemaChangedAt(d.Sequence)
	})
}

// bring gives the deltas that are to be shown their paths on this machine: of a dataset
// that is new to the worker those that are not folded, which alone it hears of.
func (f *follower) bring(ctx context.Context, s *step, folded int64) (err error) {
	if s.member != nil && !s.log.jumped {
		folded = 0
	}
	for i := range s.deltas {
		d := &s.deltas[i] // found holds it too, for a look that fails in between
		if d.Path != "" || d.Sequence <= folded {
			continue
		}
		if d.Path, err = s.log.log.Local(ctx, d.Key); err != nil {
			return err
		}
	}
	return nil
}

// show makes the transition in one step of the stream, whose entries queries see all
// at once; changed is false where nothing was to show.
func (f *follower) show(t transition) (changed bool) {
	e := f.engine
	end := e.stream.Do(func() []lake.Entry {
		var out []lake.Entry
		for _, m := range t.dropped {
			s := m.ds.Update(func(s *dataset.State) { s.Dropped = true })
			out = append(out, lake.Entry{Drop: &lake.Drop{TableUUID: s.UUID}})
		}
		for i := range t.datasets {
			out = append(out, f.showDataset(&t.datasets[i])...)
		}
		f.nameMembers(t)
		for i := range out {
			out[i].More = i < len(out)-1
		}
		changed = len(out) > 0
		return out
	})
	e.shop.Catalog.Adopt(t.version)
	for _, m := range t.dropped {
		s := m.ds.State()
		e.results.Forget(s.UUID)
		if e.cache != nil {
			e.cache.Dropped(s.UUID)
		}
		f.gone = append(f.gone, leftover{end: end, log: m.ds.Log, closes: true}, leftover{end: end, keys: keysOf(s.Files)})
		delete(f.logs, s.UUID)
	}
	for id, one := range f.logs {
		if t.version.Find(id) == nil { // it came and went unseen
			one.log.Close()
			delete(f.logs, id)
		}
	}
	for _, s := range t.datasets {
		f.leave(s, end)
	}
	return changed
}

// showDataset makes one dataset's state the next one and gives the entries that tell
// of it. It is called within Stream.Do.
func (f *follower) showDataset(s *step) []lake.Entry {
	e := f.engine
	s.log.found = s.log.found[len(s.deltas):]
	if s.member == nil || s.log.jumped {
		state := &dataset.State{
			Name: s.entry.LakeName(), UUID: s.entry.TableUUID, Schema: s.table.Schema(), Table: s.table, Files: s.files,
			FoldedThrough: s.table.FoldedThrough(), TrimmedThrough: s.entry.TrimmedThrough,
		}
		s.member = e.newMember(dataset.New(state, s.log.log, s.deltas), false)
		out := s.member.ds.State().Replay()
		out[0].Publish.Content = s.log.jumped
		if s.log.jumped {
			e.results.Forget(state.UUID)
		}
		s.log.jumped = false
		return out
	}
	ds := s.member.ds
	before := ds.State()
	var out []lake.Entry
	if to := s.entry.LakeName(); before.Name != to {
		ds.Update(func(n *dataset.State) { n.Name = to })
		out = append(out, lake.Entry{Rename: &lake.Rename{TableUUID: before.UUID, To: to}})
	}
	if len(s.deltas) > 0 {
		for _, d := range s.deltas {
			ds.Append(d)
		}
		out = append(out, lake.Entry{Apply: &lake.Apply{TableUUID: before.UUID, Deltas: s.deltas}})
	}
	if s.table != nil {
		next := ds.Update(func(n *dataset.State) {
			n.Table, n.Files, n.Schema, n.FoldedThrough = s.table, s.files, s.table.Schema(), s.table.FoldedThrough()
		})
		out = append(out, next.Publish(s.content))
	}
	if len(s.deltas) > 0 || s.content {
		e.results.Changed(before.UUID, ds.State().Sequence, nil)
	}
	return out
}

// nameMembers gives the members the names of the new instant. It is called within
// Stream.Do.
func (f *follower) nameMembers(t transition) {
	e := f.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.mu.byName)
	for _, m := range t.dropped {
		delete(e.mu.byUUID, m.ds.State().UUID)
	}
	for _, s := range t.datasets {
		e.mu.byUUID[s.entry.TableUUID] = s.member
		e.mu.byName[s.entry.LakeName().Key()] = s.member
	}
}

// leave notes the files that are not shown any more, and forgets trimmed deltas.
func (f *follower) leave(s step, end int64) {
	state := s.member.ds.State()
	var trimmed []string
	for _, d := range state.Deltas {
		if d.Sequence <= s.entry.TrimmedThrough {
			trimmed = append(trimmed, d.Key)
		}
	}
	if len(trimmed) > 0 {
		f.engine.stream.Do(func() []lake.Entry { s.member.ds.Trim(s.entry.TrimmedThrough); return nil })
		f.gone = append(f.gone, leftover{end: end, log: s.log.log, keys: trimmed})
	}
	if len(s.left) > 0 {
		f.gone = append(f.gone, leftover{end: end, keys: s.left})
	}
	if s.table != nil && state.FoldedThrough > 0 && f.engine.remote != nil {
		f.gone = append(f.gone, leftover{end: end, log: s.log.log, folded: state.FoldedThrough})
	}
}

// keysOf lists the keys of files with their delete files.
func keysOf(files []lake.BaseFile) []string {
	var out []string
	for _, f := range files {
		out = append(out, f.Key)
		for _, d := range f.Deletes {
			out = append(out, d.Key)
		}
	}
	return out
}

// without gives the keys that are not among others.
func without(keys, others []string) []string {
	there := map[string]bool{}
	for _, k := range others {
		there[k] = true
	}
	return slices.DeleteFunc(keys, func(k string) bool { return there[k] })
}
