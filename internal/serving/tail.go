package serving

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/duck"
	"tarn/internal/keys"
	"tarn/internal/lake"
)

// tail is a dataset's pending changes as they stand in the database.
//
// Loaded changes are rows of table, with their operation and sequence: of a
// keyed dataset the latest per key, and a delete stays as a tombstone until it
// is folded, also of a key that only the tail knew, since the view's anti join
// needs it no less. Of large deltas only the keys are held, in keyTable: each
// key stands in one of the two tables at most, where its latest change is.
//
// known has the keys of table, so that a key's first change needs no delete and
// tells which files it touches.
type tail struct {
	schema   lake.Schema
	table    string
	keyTable string
	known    map[string]knownKey
	counts   []count  // without a key: rows in table by sequence, ascending
	exist    []string // every table of the dataset that there is in the transaction
	large    []largeDelta
	index    fileIndex
	touched  touchedSet // by what is not placed
	news     []newKey   // keys that are not placed
	places   places
	deletes  bool // a file has delete files
	made     int  // tables made so far, for their names
	opened   opened
	forms    forms
	key      *keys.Encoder
}

// count is how many rows a delta brought to a table.
type count struct{ sequence, rows int64 }

// newKey is a key's first column, as files' bounds are written, and the sequence
// since when the tail has it.
type newKey struct {
	since int64
	first string
}

// knownKey is the sequence of a key's latest change and its first column as
// base files' bounds are written.
type knownKey struct {
	sequence int64
	first    string
}

// largeDelta is a delta that is read from its file. low and high bound the
// first column of its keys.
type largeDelta struct {
	delta     lake.Delta
	identity  string
	low, high []byte
}

// reset begins an empty tail over a set of files.
func (t *tail) reset(s lake.Schema, files []lake.BaseFile) {
	*t = tail{schema: s, made: t.made, exist: t.exist, opened: t.opened, forms: t.forms}
	if s.Keyed() {
		t.known = map[string]knownKey{}
		t.key = keys.NewEncoder(s.KeySchema(), s.KeyIndexes())
	}
	t.setFiles(files)
}

func (t *tail) schemaChanges(s lake.Schema) bool {
	return len(t.schema.Columns) > 0 && !sameRows(t.schema, s)
}

// sameRows says whether rows and keys of two schemas have the same form.
func sameRows(a, b lake.Schema) bool {
	return slices.Equal(a.Key, b.Key) && slices.EqualFunc(a.Columns, b.Columns, func(a, b lake.Column) bool {
		return a.Name == b.Name && a.ID == b.ID && a.Type.Equal(b.Type)
	})
}

// setFiles takes new files and classifies every key anew.
func (t *tail) setFiles(files []lake.BaseFile) {
	t.index, t.touched = newFileIndex(files), newTouchedSet(len(files))
	t.places, t.news = places{}, nil
	t.deletes = slices.ContainsFunc(files, func(f lake.BaseFile) bool { return len(f.Deletes) > 0 })
	for _, k := range t.known {
		t.news = append(t.news, newKey{k.sequence, k.first})
		t.touch([]byte(k.first), []byte(k.first))
	}
	for _, d := range t.large {
		if t.schema.Keyed() {
			t.touch(d.low, d.high)
		}
	}
}

func (t *tail) touch(low, high []byte) {
	if !t.touched.all() {
		t.index.span(low, high, t.touched.add)
	}
}

// view is the cold view that shows files and tail.
func (t *tail) view(files []lake.BaseFile) coldView {
	v := coldView{schema: t.schema, forms: t.forms, files: files, large: t.large, places: t.places}
	if len(t.counts) > 0 || len(t.known) > 0 {
		v.tail = t.table
	}
	if t.schema.Keyed() && len(t.large) > 0 {
		v.keys = t.keyTable
	}
	if t.touched.count > 0 {
		v.touched = t.touched.files
	}
	return v
}

// tables are those that the tail needs.
func (t *tail) tables() []string {
	var out []string
	for _, name := range []string{t.table, t.keyTable} {
		if name != "" {
			out = append(out, name)
		}
	}
	return out
}

// newTable makes a table of changes with the columns given.
func (t *tail) newTable(ctx context.Context, c *duck.Conn, kind, uuid string, columns []lake.Column) (string, error) {
	t.made++
	name := fmt.Sprintf("%s_%s_%d", kind, uuid, t.made)
	parts := make([]string, 0, len(columns)+2)
	for _, col := range columns {
		parts = append(parts, lake.QuoteIdent(col.Name)+" "+col.Type.SQL())
	}
	parts = append(parts, opColumn+" UTINYINT", sequenceColumn+" BIGINT")
	t.exist = append(t.exist, name)
	return name, c.Exec(ctx, "CREATE TABLE "+internal(name)+" ("+strings.Join(parts, ", ")+")")
}

// add brings loaded deltas, in ascending order, into the table: append all rows,
// then take away what a later row of the same key replaces. That delete only
// runs when a key is known or comes twice.
func (t *tail) add(ctx context.Context, c *duck.Conn, uuid string, deltas []loaded) error {
	var batches []arrow.RecordBatch
	defer func() {
		for _, b := range batches {
			b.Release()
		}
	}()
	replaces := false
	var key []byte
	for _, d := range deltas {
		for _, ch := range d.changes {
			n := int(ch.Rows.NumRows())
			if n == 0 {
				continue
			}
			batches = append(batches, withChangeColumns(ch.Rows, ch.Ops, d.sequence))
			if !t.schema.Keyed() {
				t.counts = append(t.counts, count{d.sequence, int64(n)})
				continue
			}
			for row := range n {
				key = t.key.Append(key[:0], ch.Rows, row)
				replaces = t.know(key, ch.Rows, row, d.sequence) || replaces
			}
		}
	}
	if len(batches) == 0 {
		return nil
	}
	if t.table == "" {
		var err error
		if t.table, err = t.newTable(ctx, c, "tail", uuid, t.schema.Columns); err != nil {
			return err
		}
	}
	if err := c.Append(ctx, catalogName, internalSchema, t.table, batches); err != nil {
		return err
	}
	if !t.schema.Keyed() {
		return nil
	}
	first := deltas[0].sequence
	if replaces {
		if err := t.deleteOlder(ctx, c, t.table, t.table, first); err != nil {
			return err
		}
	}
	if len(t.large) > 0 {
		return t.deleteOlder(ctx, c, t.keyTable, t.table, first)
	}
	return nil
}

// know notes a key's change and says whether an older one is in the table.
func (t *tail) know(key []byte, rec arrow.RecordBatch, row int, sequence int64) bool {
	if k, ok := t.known[string(key)]; ok {
		k.sequence = sequence
		t.known[string(key)] = k
		return true
	}
	first := t.key.First(nil, rec, row)
	k := knownKey{sequence: sequence}
	owned := string(key)
	if bytes.Equal(first, key) {
		k.first = owned
	} else {
		k.first = string(first)
	}
	t.known[owned] = k
	t.news = append(t.news, newKey{sequence, k.first})
	t.touch(first, first)
	return false
}

// deleteOlder takes rows out of a table that a change in newer, at or after
// sequence from, replaces.
func (t *tail) deleteOlder(ctx context.Context, c *duck.Conn, table, newer string, from int64) error {
	cols, same := make([]string, len(t.schema.Key)), make([]string, len(t.schema.Key))
	for i, name := range t.schema.Key {
		cols[i] = lake.QuoteIdent(name)
		same[i] = "o." + cols[i] + " = n." + cols[i]
	}
	list := strings.Join(cols, ", ")
	return c.Exec(ctx, fmt.Sprintf(
		"DELETE FROM %s o USING (SELECT %s, max(%s) AS newest FROM %s WHERE %s >= %d GROUP BY %s) n WHERE %s AND o.%s < n.newest",
		internal(table), list, sequenceColumn, internal(newer), sequenceColumn, from, list,
		strings.Join(same, " AND "), sequenceColumn))
}

// drop forgets what is folded: everything up to a sequence. Tables that hold
// nothing any more are given up; sweep takes them away.
func (t *tail) drop(ctx context.Context, c *duck.Conn, folded int64) error {
	t.large = slices.DeleteFunc(slices.Clone(t.large), func(d largeDelta) bool { return d.delta.Sequence <= folded })
	t.counts = slices.DeleteFunc(slices.Clone(t.counts), func(n count) bool { return n.sequence <= folded })
	maps.DeleteFunc(t.known, func(_ string, k knownKey) bool { return k.sequence <= folded })
	if len(t.known) == 0 && len(t.counts) == 0 {
		t.table = ""
	}
	if len(t.large) == 0 {
		t.keyTable = ""
	}
	for _, table := range t.tables() {
		if err := c.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s <= %d", internal(table), sequenceColumn, folded)); err != nil {
			return err
		}
	}
	return nil
}

// sweep takes away the tables that the tail does not need.
func (t *tail) sweep(ctx context.Context, c *duck.Conn) error {
	need := t.tables()
	for _, table := range t.exist {
		if !slices.Contains(need, table) {
			if err := c.Exec(ctx, "DROP TABLE "+internal(table)); err != nil {
				return err
			}
		}
	}
	t.exist = need
	return nil
}

// hide gives every table up.
func (t *tail) hide() { t.table, t.keyTable = "", "" }
