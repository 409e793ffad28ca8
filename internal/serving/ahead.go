package serving

import "tarn/internal/lake"

// ahead is deltas that were loaded while the stream was gathered and nobody waited, so
// that the query for which they are applied does not wait for their files too.
type ahead struct {
	deltas map[string]aheadDelta // by key
	bytes  int64                 // of all that were loaded since the last apply
}

// aheadDelta is a loaded delta, and the schema that it was read as.
type aheadDelta struct {
	loaded
	schema lake.Schema
}

// loadAhead loads the small deltas of entries that are still gathered, as long as they
// are few. What cannot be loaded says so when it is applied.
func (p *publisher) loadAhead(entries []lake.Entry) {
	for _, e := range entries {
		if e.Apply == nil {
			continue
		}
		d := p.datasets[e.Apply.TableUUID]
		if d == nil {
			continue
		}
		for _, x := range e.Apply.Deltas {
			if p.ahead.bytes+x.Bytes > bytesAtOnce {
				return
			}
			if x.Void || p.large(x) || x.Sequence <= d.last {
				continue
			}
			if _, there := p.ahead.deltas[x.Key]; there {
				continue
			}
			if l, err := loadDelta(x, d.schema, d.uuid); err == nil {
				p.ahead.keep(x, aheadDelta{l, d.schema})
			}
		}
	}
}

// keep takes a delta over.
func (a *ahead) keep(x lake.Delta, l aheadDelta) {
	if a.deltas == nil {
		a.deltas = map[string]aheadDelta{}
	}
	a.deltas[x.Key] = l
	bytes := int64(0)
	for _, c := range l.changes {
		bytes += arrowBytes(c.Rows)
	}
	a.bytes += max(x.Bytes, bytes)
}

// load gives a small delta of a dataset, which the caller releases.
func (p *publisher) load(x lake.Delta, d *dataset) (loaded, error) {
	early, ok := p.ahead.deltas[x.Key]
	if !ok || x.Void || !sameRows(early.schema, d.schema) {
		return loadDelta(x, d.schema, d.uuid)
	}
	delete(p.ahead.deltas, x.Key)
	return early.loaded, nil
}

// forget lets go of those that nobody took, and begins anew.
func (a *ahead) forget() {
	for _, early := range a.deltas {
		early.release()
	}
	*a = ahead{}
}
