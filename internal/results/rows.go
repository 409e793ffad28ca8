package results

import "container/list"

// Rows by key are kept beside the answers: a row is read again without a worker
// until its key is changed.
//
// Words. The rows of a dataset are known *through* a sequence: each change up to it
// was told here and took its row away. Where the dataset has gone on otherwise (a
// content commit), or the keys of a change are not known, all its rows go. A *fetch*
// is a row being read from the worker; it is *stale* when its key was changed since
// it began, and is then not kept.
//
// Row, Fetch, Keep and Changed are called under the stream's lock, with the
// sequence that the dataset has there, so that a row and the ETag beside it are of
// one state.

// rowsOf is the rows of one dataset.
type rowsOf struct {
	through int64
	entries map[string]*list.Element // of held, by key
	fetches map[*Fetch]struct{}

	// Of all rows, held together (tables.go).
	table    *heldTable // nil: they are not held
	load     *Load      // nil: none is under way
	misses   int        // of reads by key, since the last load began
	failures int        // loads in a row that came to nothing, or did not pay
	tooMany  int64      // rows that did not fit; 0: none were tried that did not
}

func newRowsOf(through int64) *rowsOf {
	return &rowsOf{through: through, entries: map[string]*list.Element{}, fetches: map[*Fetch]struct{}{}}
}

// Fetch is a row being read.
type Fetch struct {
	uuid, key string
	stale     bool // Cache.mu guards it
}

// rowsOf gives the rows of a dataset that stands at a sequence; mu is held.
func (c *Cache) rowsOf(uuid string, sequence int64) *rowsOf {
	r := c.mu.rows[uuid]
	if r == nil {
		r = newRowsOf(sequence)
		c.mu.rows[uuid] = r
	}
	if r.through != sequence {
		c.forgetRows(r)
		r.through = sequence
	}
	return r
}

// forgetRows takes all rows of a dataset out; mu is held.
func (c *Cache) forgetRows(r *rowsOf) {
	for _, at := range r.entries {
		c.remove(at)
	}
	for f := range r.fetches {
		f.stale = true
	}
	if r.table != nil {
		c.remove(r.table.at)
	}
	if r.load != nil {
		r.load.stale = true
	}
}

// Row gives a row of a dataset that stands at a sequence, as its JSON object, empty
// where the key is known to be absent; ok is false where it is not kept, and then
// the caller may read it and Keep it.
func (c *Cache) Row(uuid, key string, sequence int64) (row []byte, f *Fetch, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rowsOf(uuid, sequence)
	if at := r.entries[key]; at != nil {
		c.mu.recent.MoveToFront(at)
		c.mu.hits++
		return at.Value.(*held).entry.Body, nil, true
	}
	c.mu.misses++
	f = &Fetch{uuid: uuid, key: key}
	r.fetches[f] = struct{}{}
	return nil, f, false
}

// Keep ends a fetch and keeps its row, unless its key was changed meanwhile. row is
// not changed afterwards.
func (c *Cache) Keep(f *Fetch, row []byte, sequence int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rowsOf(f.uuid, sequence)
	delete(r.fetches, f)
	bytes := 2*entryBytes + int64(len(f.key)) + int64(cap(row))
	if f.stale || r.entries[f.key] != nil || bytes > c.limit() {
		return
	}
	r.entries[f.key] = c.add(&held{entry: &Entry{Body: row}, bytes: bytes, rows: r, key: f.key})
}

// Drop ends a fetch that found nothing to keep.
func (c *Cache) Drop(f *Fetch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.mu.rows[f.uuid]; r != nil {
		delete(r.fetches, f)
	}
}

// Watching says whether changes of a dataset need to be told with their keys.
func (c *Cache) Watching(uuid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.mu.rows[uuid]
	return r != nil && (len(r.entries)+len(r.fetches) > 0 || r.table != nil || r.load != nil)
}

// Changed tells of the changes that brought a dataset to a sequence; no keys where
// they are not known.
func (c *Cache) Changed(uuid string, sequence int64, keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.mu.rows[uuid]
	if r == nil {
		return
	}
	if keys == nil || r.through != sequence-1 {
		c.forgetRows(r)
	}
	r.through = sequence
	for _, key := range keys {
		if at := r.entries[key]; at != nil {
			c.remove(at)
		}
	}
	c.touchAll(r, keys)
	if r.load != nil {
		r.load.note(keys)
	}
	if len(r.fetches) == 0 {
		return
	}
	changed := make(map[string]bool, len(keys))
	for _, key := range keys {
		changed[key] = true
	}
	for f := range r.fetches {
		f.stale = f.stale || changed[f.key]
	}
}
