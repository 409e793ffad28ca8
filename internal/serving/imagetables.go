package serving

import (
	"sync"

	"tarn/internal/lake"
)

// imageTables are the tables of images, by the number of the image, for queries that go
// by more than the view shows: whoever reads an image in a snapshot finds it here, or
// does without.
type imageTables struct {
	mu struct {
		sync.Mutex
		tables map[int64]imageTable
	}
}

// imageTable is what a query may need to know of an image.
type imageTable struct {
	name   string
	schema lake.Schema
	codes  []*codes
	rows   int64 // when it was shown first
}

func newImageTables() *imageTables {
	t := &imageTables{}
	t.mu.tables = map[int64]imageTable{}
	return t
}

func (t *imageTables) add(m *image) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.tables[m.number] = imageTable{m.table, m.schema, m.codes, m.counts.rows}
}

func (t *imageTables) remove(m *image) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.tables, m.number)
}

// read gives the image whose files version a guard has; ok is false where it covers files.
func (t *imageTables) read(g *guard) (table imageTable, ok bool) {
	if g.version >= 0 {
		return table, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	table, ok = t.mu.tables[-g.version]
	return table, ok
}
