package serving

import (
	"cmp"
	"slices"
	"strings"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// recode gives a plan's text with the columns that it groups by replaced by their
// codes, which it spells again in the SELECT list: GROUP BY a one-to-one function of
// a column, and the inverse of that function outside of it, is GROUP BY that column.
// The snapshot is fixed; ok is false where nothing can be replaced.
//
// A column is replaced only where every use of it outside of WHERE, join conditions
// and aggregates is one that is replaced too: as an expression of GROUP BY, or as an
// item of the SELECT list that is the column and nothing more.
func (s *Serving) recode(p plan, r *reading) (sql string, ok bool) {
	g := p.grouped
	if g == nil {
		return "", false
	}
	q := recoding{Grouped: g, tables: make([]recodedTable, len(g.Tables))}
	for i, t := range g.Tables {
		if !s.recodedTable(&q.tables[i], t.Dataset, p.datasets, r) {
			return "", false
		}
	}
	for _, by := range g.By {
		q.replace(by)
	}
	if len(q.edits) == 0 {
		return "", false
	}
	return q.text(p.sql), true
}

// recodedTable is a relation of a query: its columns, and its image where it has
// one.
type recodedTable struct {
	schema lake.Schema
	image  imageTable
	hot    bool
	used   bool // a column of it is replaced
}

func (s *Serving) recodedTable(t *recodedTable, name lake.Name, names []lake.Name, r *reading) bool {
	at := slices.IndexFunc(names, func(n lake.Name) bool { return n.Key() == name.Key() })
	if at < 0 {
		return false
	}
	if t.image, t.hot = s.tables.read(r.guards[at]); t.hot {
		t.schema = t.image.schema
		return true
	}
	_, d, ok := s.ear.find(name)
	t.schema = d.schema
	return ok
}

// recoding replaces columns of one query.
type recoding struct {
	*duck.Grouped
	tables []recodedTable
	edits  []edit
}

type edit struct {
	at, end int
	text    string
}

// replace replaces one column of GROUP BY, where that is the same.
func (q *recoding) replace(by duck.GroupedColumn) {
	table, column, ok := q.find(by)
	if !ok || q.Elsewhere[strings.ToLower(by.Column)] {
		return
	}
	t := &q.tables[table]
	at := slices.IndexFunc(t.image.codes, func(c *codes) bool { return c.at == column })
	if !t.hot || at < 0 {
		return
	}
	c := t.image.codes[at]
	values, ok := c.spelled()
	if !ok || len(values) == 0 {
		return
	}
	number := lake.QuoteIdent(q.Tables[table].Alias) + "." + lake.QuoteIdent(c.column)
	spelled := "list_extract([" + quotedList(values) + "]::VARCHAR[], " + number + ")"
	q.edits = append(q.edits, edit{by.At, by.End, number})
	for _, item := range q.Items {
		if i, j, ok := q.find(item); !ok || i != table || j != column {
			continue
		}
		text := spelled
		if item.Alias == "" {
			text += " AS " + lake.QuoteIdent(t.schema.Columns[column].Name)
		}
		q.edits = append(q.edits, edit{item.At, item.End, text})
	}
	t.used = true
}

// find gives the relation and the column that a column of the text means. Where
// several relations have the name, their tables must be said everywhere, or an
// ambiguous query would have an answer.
func (q *recoding) find(c duck.GroupedColumn) (table, column int, ok bool) {
	table, having := -1, 0
	for i, t := range q.tables {
		at, there := t.schema.Column(c.Column)
		if !there {
			continue
		}
		having++
		if c.Table == "" || strings.EqualFold(c.Table, q.Tables[i].Alias) {
			table, column = i, at
		}
	}
	if table < 0 || having > 1 && (c.Table == "" || q.Bare[strings.ToLower(c.Column)]) {
		return 0, 0, false
	}
	return table, column, true
}

// text is the query with the edits made, and with the images in place of the views
// that show them without their codes.
func (q *recoding) text(sql string) string {
	for i, t := range q.tables {
		if !t.used {
			continue
		}
		table := internal(t.image.name)
		if !q.Tables[i].Aliased {
			table += " AS " + lake.QuoteIdent(q.Tables[i].Alias)
		}
		q.edits = append(q.edits, edit{q.Tables[i].At, q.Tables[i].End, table})
	}
	slices.SortFunc(q.edits, func(a, b edit) int { return cmp.Compare(a.at, b.at) })
	var out strings.Builder
	from := 0
	for _, e := range q.edits {
		if e.at < from {
			continue // the same column twice in GROUP BY
		}
		out.WriteString(sql[from:e.at])
		out.WriteString(e.text)
		from = e.end
	}
	out.WriteString(sql[from:])
	return out.String()
}
