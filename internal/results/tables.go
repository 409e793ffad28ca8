package results

import (
	"container/list"
	"errors"
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// All rows of a dataset are held, as a Table, once many of them are read by key: then
// also those are found that were never read.
//
// A table is one entry among the least recently used, of at most half of the room. It is
// what a *load* read: a load begins at a sequence under the stream's lock, reads the
// rows at that sequence or a later one, and is kept under the lock again. From its
// beginning on the keys of all changes are told here (Changed): in the table they are
// *touched*. A touched key is not answered from it, whatever became of its row. Once an
// eighth is touched the table goes, as it does where the keys of a change are not known
// or the dataset went on otherwise. A load then comes to nothing.
//
// Find, Load and Load.Keep are called under the stream's lock, as Row is.

// heldTable is a table in its place. Cache.mu guards it.
type heldTable struct {
	*Table
	at      *list.Element
	gone    []uint64            // a bit a row: its key is touched
	came    map[string]struct{} // keys that are touched and are none of its rows'
	touched int
	hits    int
}

// paid says whether the table answered so many reads that they would have taken the
// worker as long as it took to load it.
func (h *heldTable) paid() bool { return h.hits >= int(h.rows/4096) }

// dueShare is how large a part of a table may be touched: one in so many.
const dueShare = 8

// keyBytes is about what a key that came takes beside its bytes.
const keyBytes = 64

// tableLimit is the most bytes that a table may take.
func (c *Cache) tableLimit() int64 { return c.budget / 2 }

// Find gives the rows of keys that are held, in the table's order and each once; absent
// ones are left out. ok is false where there is no table of the dataset, which stands at
// a sequence, or it does not know what became of one of the keys.
func (c *Cache) Find(uuid string, sequence int64, keys ...string) (t *Table, found []uint32, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.mu.rows[uuid]
	if r == nil || r.table == nil {
		return nil, nil, false
	}
	if r = c.rowsOf(uuid, sequence); r.table == nil {
		return nil, nil, false
	}
	for _, key := range keys {
		row, is := r.table.find(key)
		if is && r.table.isGone(row) {
			return nil, nil, false
		}
		if _, came := r.table.came[key]; came {
			return nil, nil, false
		}
		if is {
			found = insert(found, row)
		}
	}
	c.mu.recent.MoveToFront(r.table.at)
	c.mu.hits++
	c.mu.heldHits++
	r.table.hits++
	return r.table.Table, found, true
}

// insert puts a row into an ascending list, unless it is there.
func insert(list []uint32, row uint32) []uint32 {
	at := len(list)
	for at > 0 && list[at-1] >= row {
		at--
	}
	if at < len(list) && list[at] == row {
		return list
	}
	list = append(list, 0)
	copy(list[at+1:], list[at:])
	list[at] = row
	return list
}

func (h *heldTable) isGone(row uint32) bool { return h.gone[row/64]>>(row%64)&1 == 1 }

// touch notes that a key was changed, and says how many bytes that takes; ok is false
// where the table is of no use any more.
func (h *heldTable) touch(key string) (bytes int64, ok bool) {
	if row, is := h.find(key); is {
		if h.isGone(row) {
			return 0, true
		}
		h.gone[row/64] |= 1 << (row % 64)
	} else {
		if _, came := h.came[key]; came {
			return 0, true
		}
		h.came[key] = struct{}{}
		bytes = keyBytes + int64(len(key))
	}
	h.touched++
	return bytes, h.touched <= int(h.rows/dueShare)
}

// touchAll tells the table of a dataset of changed keys; mu is held.
func (c *Cache) touchAll(r *rowsOf, keys []string) {
	for _, key := range keys {
		if r.table == nil {
			return
		}
		bytes, ok := r.table.touch(key)
		h := r.table.at.Value.(*held)
		h.bytes += bytes
		c.mu.used += bytes
		if !ok || h.bytes > c.tableLimit() {
			c.remove(r.table.at)
		}
		c.fit()
	}
}

// missesFor is how many reads by key must have missed before so many rows are loaded.
// That is few, as more are likely to come; each time that they did not, before the rows
// had to go, it is twice as many.
func missesFor(rows int64) int { return int(max(2, rows/32_768)) }

// Missed notes a read by key that the worker answered, and says whether the rows of the
// dataset should now be loaded; there are so many.
func (c *Cache) Missed(uuid string, rows int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.mu.rows[uuid]
	if r == nil {
		r = newRowsOf(-1)
		c.mu.rows[uuid] = r
	}
	if r.table != nil || r.load != nil || r.tooMany > 0 && rows > r.tooMany-r.tooMany/4 {
		return false
	}
	r.misses++
	return r.misses >= missesFor(rows)<<min(r.failures, 10)
}

// Load is the rows of a dataset being read to be held.
type Load struct {
	c       *Cache
	r       *rowsOf
	uuid    string
	from    int64 // the sequence at which it began
	rows    int64 // that were expected
	bytes   int64 // counted as used
	table   *Table
	held    *heldTable // of it, once it is indexed
	ended   bool       // guarded by Cache.mu, as what follows
	stale   bool
	changed map[string]struct{} // keys, since it began, that are not touched yet
}

// Why a load came to nothing.
var (
	ErrTooLarge  = errors.New("the rows do not fit into half of the room for answers")
	ErrOvertaken = errors.New("the dataset changed too much meanwhile")
)

// Load begins to read the rows, about so many, of a dataset that stands at a sequence;
// nil where that is under way or done. End it always.
func (c *Cache) Load(uuid string, sequence, rows int64) *Load {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rowsOf(uuid, sequence)
	if r.table != nil || r.load != nil {
		return nil
	}
	r.misses = 0
	r.load = &Load{c: c, r: r, uuid: uuid, from: sequence, rows: rows, changed: map[string]struct{}{}}
	return r.load
}

// Begin says what comes: the answer to SELECT * of the dataset, which has this schema.
func (l *Load) Begin(of lake.Schema, columns []rows.Column, schema *arrow.Schema) {
	l.table = newTable(of, columns, schema)
}

// Add takes the next batch, which the caller has no use for any more. It fails with
// ErrTooLarge, with ErrOvertaken, or where the batch has not the dataset's key.
func (l *Load) Add(rec arrow.RecordBatch) error {
	if int64(l.table.rows)+rec.NumRows() >= math.MaxInt32 {
		return ErrTooLarge
	}
	if err := l.take(batchBytes(rec)); err != nil {
		return err
	}
	return l.table.add(rec)
}

// lastKeys is how many changed keys are left to Keep, under the stream's lock, at most but
// for those of one more batch.
const lastKeys = 1024

// Index makes the rows be found, once all have been added, and touches the keys that were
// changed meanwhile: to find one takes about a microsecond, and in Keep the whole lake
// waits for that. It fails as Add.
func (l *Load) Index() error {
	rows := int64(l.table.rows)
	if err := l.take(4*slotsFor(l.table.rows) + rows/8 + 2*entryBytes); err != nil {
		return err
	}
	l.table.index()
	l.held = &heldTable{Table: l.table, gone: make([]uint64, (l.table.rows+63)/64), came: map[string]struct{}{}}
	for {
		keys, all := l.known(), int64(0)
		for key := range keys {
			bytes, ok := l.held.touch(key)
			if !ok {
				return ErrOvertaken
			}
			all += bytes
		}
		if err := l.take(all); err != nil {
			return err
		}
		if len(keys) <= lastKeys {
			return nil
		}
	}
}

// known takes over the keys that were changed since it was called last.
func (l *Load) known() map[string]struct{} {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	keys := l.changed
	l.changed = map[string]struct{}{}
	return keys
}

// take counts memory of the load as used, and makes room for it.
func (l *Load) take(bytes int64) error {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.stale {
		return ErrOvertaken
	}
	if l.bytes+bytes > c.tableLimit() {
		l.r.tooMany = max(1, l.rows)
		return ErrTooLarge
	}
	l.bytes += bytes
	c.mu.used += bytes
	c.fit()
	return nil
}

// Keep makes the rows, which were read at a sequence, those that Find finds, of a dataset
// that now stands at another. It fails with ErrOvertaken.
func (l *Load) Keep(read, sequence int64) error {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.rowsOf(l.uuid, sequence); r != l.r || l.stale || read < l.from || read > sequence {
		return ErrOvertaken
	}
	t := l.held
	c.mu.used -= l.bytes // add counts it
	t.at = c.add(&held{entry: &Entry{}, bytes: l.bytes, rows: l.r, table: t})
	l.bytes = 0
	l.r.table = t
	keys := make([]string, 0, len(l.changed))
	for key := range l.changed {
		keys = append(keys, key)
	}
	c.touchAll(l.r, keys)
	l.end()
	return nil
}

// End ends a load that was not kept; it does nothing to one that was.
func (l *Load) End() {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if !l.ended {
		l.r.failures++
		l.end()
	}
}

// end is called with Cache.mu held.
func (l *Load) end() {
	l.ended = true
	l.c.mu.used -= l.bytes
	if l.r.load == l {
		l.r.load = nil
	}
}

// note tells a load of changed keys; Cache.mu is held.
func (l *Load) note(keys []string) {
	for _, key := range keys {
		l.changed[key] = struct{}{}
	}
	l.stale = l.stale || int64(len(l.changed)) > l.rows/dueShare
}
