package serving

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// Bounds of where a look for the first rows of an image goes, and of what it is for.
const (
	leastBoundedRows = 20_000  // of the image: with fewer there is little to save
	lookedAtRows     = 122_880 // of the image's beginning: one of DuckDB's row groups
	lookedAtLast     = 32_768  // of its end, all of which are ordered
	leastSparedTexts = 2       // texts, or nested values, that are read for the answer alone
	deepRows         = 5_000   // with more asked for, DuckDB sorts all, which numbers feel too
)

// bounded gives a plan's text that asks for the first rows by a column with a bound of
// this column in its condition (docs/design/firstrows.md): where n rows that pass the
// condition have been found, whichever they are, no row beyond the last of them is among
// the first n. That holds whatever the order in which an image has its rows; that it is
// nearly the key's makes the bound a near one.
//
// The rows are looked for in the plan's reading. edited is true once that was tried.
func (s *Serving) bounded(ctx context.Context, p plan, r *reading) (sql string, edited bool, err error) {
	f := p.first
	if f == nil || s.noFirstRows {
		return p.sql, false, nil
	}
	m, hot := s.tables.read(r.guards[0])
	if !hot || !boundable(f, m) || !s.luck.try(f.Form) {
		return p.sql, false, nil
	}
	rows, err := r.rows(ctx, lookFor(p.sql, f, m), p.params)
	if err != nil {
		return "", true, err
	}
	bound, found := rows[0][0].(string)
	if n, _ := rows[0][1].(int64); !found || n < f.Rows || strings.IndexByte(bound, 0) >= 0 {
		s.luck.missed(f.Form)
		return p.sql, false, nil
	}
	s.luck.found(f.Form)
	return withBound(p.sql, f, m, bound), true, nil
}

// boundable says whether the first rows may be found by a bound, and are worth it.
func boundable(f *duck.FirstRows, m imageTable) bool {
	if m.rows < leastBoundedRows || f.Rows*8 > m.rows || !m.schema.Keyed() {
		return false
	}
	key := m.schema.KeyIndexes()[0]
	if at, ok := m.schema.Column(f.Column); !ok || at != key || !spelledExactly(m.schema.Columns[key].Type) {
		return false
	}
	// Everything that is named is a column, and not anything else that DuckDB may find.
	// Spared are columns that the condition does not read.
	spared := map[int]bool{}
	for _, name := range f.Items {
		at, ok := m.schema.Column(name)
		if !ok {
			return false
		}
		spared[at] = true
	}
	for at := range m.schema.Columns {
		if f.Star {
			spared[at] = true
		}
	}
	for _, name := range f.Conditions {
		at, ok := m.schema.Column(name)
		if !ok {
			return false
		}
		delete(spared, at)
	}
	for _, name := range []string{f.Table.Alias, "rowid"} {
		if _, there := m.schema.Column(name); there {
			return false
		}
	}
	texts := 0
	for at := range spared {
		switch m.schema.Columns[at].Type.Kind {
		case lake.Varchar, lake.Blob, lake.List, lake.Struct, lake.Map:
			texts++
		}
	}
	return texts >= leastSparedTexts || f.Rows > deepRows
}

// spelledExactly says whether a value as DuckDB writes it is that value again.
func spelledExactly(t lake.Type) bool {
	return slices.Contains([]lake.Kind{lake.Integer, lake.Bigint, lake.Decimal, lake.Varchar, lake.UUID, lake.Date, lake.Timestamp, lake.TimestampTZ}, t.Kind)
}

// lookFor asks for the last of the first rows that pass the condition, in a part of the
// image, and how many there are. Any part would do; this is the one where they are if
// the condition is not a rare one.
func lookFor(sql string, f *duck.FirstRows, m imageTable) string {
	alias := lake.QuoteIdent(f.Table.Alias)
	key := m.schema.Columns[m.schema.KeyIndexes()[0]]
	column := alias + "." + lake.QuoteIdent(key.Name)
	numbered := f.From != nil && (key.Type.Kind == lake.Integer || key.Type.Kind == lake.Bigint)
	var last, part, order string
	switch {
	case f.Descending:
		last, order = "min", " ORDER BY 1 DESC"
		// Rows that went, and whose place a CHECKPOINT took, are no more than a share.
		part = fmt.Sprintf("%s.rowid >= %d", alias, max(0, m.rows-int64(rebuildShare*float64(m.rows))-lookedAtLast))
		if numbered {
			part = fmt.Sprintf("%s >= %d", column, *f.From-lookedAtLast)
		}
	default:
		last = "max"
		part = fmt.Sprintf("%s.rowid < %d", alias, lookedAtRows)
		if numbered {
			part = fmt.Sprintf("%s <= %d", column, *f.From+lookedAtRows)
		}
	}
	where := part
	if f.Where < f.WhereEnd {
		where += " AND (" + sql[f.Where:f.WhereEnd] + ")"
	}
	return fmt.Sprintf("SELECT %s(k)::VARCHAR, count(*) FROM (SELECT %s AS k FROM %s AS %s WHERE %s%s LIMIT %d)",
		last, column, internal(m.name), alias, where, order, f.Rows)
}

// withBound is the text with the bound in its condition.
func withBound(sql string, f *duck.FirstRows, m imageTable, bound string) string {
	key := m.schema.Columns[m.schema.KeyIndexes()[0]]
	op := "<="
	if f.Descending {
		op = ">="
	}
	within := lake.QuoteIdent(f.Table.Alias) + "." + lake.QuoteIdent(key.Name) + " " + op + " " + cast(bound, key.Type)
	if f.Where == f.WhereEnd {
		return sql[:f.Where] + " WHERE " + within + sql[f.Where:]
	}
	return sql[:f.Where] + "(" + sql[f.Where:f.WhereEnd] + ") AND " + within + sql[f.WhereEnd:]
}
