package results

import (
	"container/list"
	"sync"

	"tarn/internal/rows"
)

// Entry is one whole answer. It is never changed after it was made.
type Entry struct {
	ContentType string
	Head        rows.Head
	RowCount    int64
	Body        []byte // without the tail, which rows.AppendTail writes
}

// Stats is how the answers stand.
type Stats struct {
	BudgetBytes int64
	UsedBytes   int64
	Entries     int   // answers, rows, and tables of rows
	HeldRows    int64 // of these tables
	Hits        int64 // queries that were answered from an entry, and reads of a row
	HeldHits    int64 // of them, those that were answered from such a table
	Misses      int64 // those that were not
}

// Cache is the entries, one a question, under a budget of bytes.
type Cache struct {
	budget int64

	mu struct {
		sync.Mutex
		entries  map[Question]*list.Element // of held
		rows     map[string]*rowsOf         // by table uuid
		recent   *list.List                 // entries, rows and tables, the least recently used last
		used     int64                      // by them, and by loads of tables
		hits     int64
		heldHits int64
		misses   int64
	}
}

// held is an entry by its question, a row by its key, or all rows of a dataset.
type held struct {
	question Question
	entry    *Entry
	bytes    int64
	rows     *rowsOf // nil for an answer
	key      string
	table    *heldTable // nil for all but that
}

// New makes a cache; a budget of 0 or less keeps nothing.
func New(budgetBytes int64) *Cache {
	c := &Cache{budget: max(0, budgetBytes)}
	c.mu.entries, c.mu.rows, c.mu.recent = map[Question]*list.Element{}, map[string]*rowsOf{}, list.New()
	return c
}

// Enabled says whether anything is ever kept.
func (c *Cache) Enabled() bool { return c.budget > 0 }

// Get gives the answer to a question, nil where there is none. current says
// whether the entry's head is that of the lake now; an entry that is not goes. It is
// called without a lock.
func (c *Cache) Get(q Question, current func(rows.Head) bool) *Entry {
	c.mu.Lock()
	at := c.mu.entries[q]
	c.mu.Unlock()
	if at == nil {
		c.count(false)
		return nil
	}
	h := at.Value.(*held)
	is := current(h.entry.Head)
	c.count(is)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mu.entries[q] != at: // another came, or it went meanwhile
	case is:
		c.mu.recent.MoveToFront(at)
	default:
		c.remove(at)
	}
	if !is {
		return nil
	}
	return h.entry
}

func (c *Cache) count(hit bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if hit {
		c.mu.hits++
	} else {
		c.mu.misses++
	}
}

// limit is the most bytes that one entry may take: a few large answers must not
// push out the many small ones.
func (c *Cache) limit() int64 { return min(c.budget/8, 4<<20) }

// entryBytes is about what an entry takes beside its texts.
const entryBytes = 512

// put keeps an answer, in place of an older one to the same question.
func (c *Cache) put(q Question, e *Entry) {
	bytes := entryBytes + int64(len(q)) + int64(cap(e.Body))
	for name := range e.Head.ReadPoints {
		bytes += entryBytes + int64(len(name))
	}
	if bytes > c.limit() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.mu.entries[q]; at != nil {
		c.remove(at)
	}
	c.mu.entries[q] = c.add(&held{question: q, entry: e, bytes: bytes})
}

// add makes room and takes something in; mu is held.
func (c *Cache) add(h *held) *list.Element {
	c.mu.used += h.bytes
	c.fit()
	return c.mu.recent.PushFront(h)
}

// fit lets the least recently used go until the rest is within the budget; mu is held.
func (c *Cache) fit() {
	for at := c.mu.recent.Back(); at != nil && c.mu.used > c.budget; at = c.mu.recent.Back() {
		c.remove(at)
	}
}

// remove takes an entry out; mu is held.
func (c *Cache) remove(at *list.Element) {
	h := at.Value.(*held)
	c.mu.recent.Remove(at)
	switch {
	case h.table != nil:
		h.rows.table = nil
		if h.rows.failures++; h.table.paid() {
			h.rows.failures = 0
		}
	case h.rows != nil:
		delete(h.rows.entries, h.key)
	default:
		delete(c.mu.entries, h.question)
	}
	c.mu.used -= h.bytes
}

// Forget takes out every answer about a dataset, and its rows.
func (c *Cache) Forget(tableUUID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.mu.rows[tableUUID]; r != nil {
		c.forgetRows(r)
		delete(c.mu.rows, tableUUID)
	}
	for at := c.mu.recent.Front(); at != nil; {
		next := at.Next()
		for _, p := range at.Value.(*held).entry.Head.ReadPoints {
			if p.TableUUID == tableUUID {
				c.remove(at)
				break
			}
		}
		at = next
	}
}

// Stats says how the answers stand.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{BudgetBytes: c.budget, UsedBytes: c.mu.used, Entries: c.mu.recent.Len(), Hits: c.mu.hits, HeldHits: c.mu.heldHits, Misses: c.mu.misses}
	for _, r := range c.mu.rows {
		if r.table != nil {
			s.HeldRows += int64(r.table.rows)
		}
	}
	return s
}
