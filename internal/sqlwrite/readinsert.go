package sqlwrite

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tarn/internal/lake"
)

// insert makes the Read of INSERT. Its rows are cast to the columns' types in the query
// _tarn_new; what becomes of keys that exist is decided over that.
func (c *composer) insert() (found, error) {
	at, err := c.givenBy(c.s.Columns)
	if err != nil {
		return found{}, err
	}
	source, err := c.source(at)
	if err != nil {
		return found{}, err
	}
	// The empty SELECT names the columns and fixes their number.
	head := make([]string, len(at))
	for k, i := range at {
		head[k] = c.nothing(i) + " AS " + own("c", i)
	}
	given := own("given") + " AS (SELECT " + strings.Join(head, ", ") + " WHERE false UNION ALL " + source + ")"
	fresh := own("new") + " AS (SELECT " + c.all(func(i int) string {
		if !slices.Contains(at, i) {
			return c.nothing(i) + " AS " + c.quoted(i)
		}
		return "CAST(" + own("c", i) + " AS " + c.schema.Columns[i].Type.SQL() + ") AS " + c.quoted(i)
	}) + " FROM " + own("given") + ")"
	switch {
	case !c.schema.Keyed():
		return found{with: []string{given, fresh}, sql: "SELECT " + c.all(c.quoted) + " FROM " + own("new")}, nil
	case c.s.OnConflict == nil:
		return c.insertNew(given, fresh), nil
	}
	if names := c.s.OnConflict.Columns; names != nil {
		key, err := c.columns(names)
		if err != nil {
			return found{}, err
		}
		slices.Sort(key)
		if !slices.Equal(key, slices.Sorted(slices.Values(c.schema.KeyIndexes()))) {
			return found{}, invalid("ON CONFLICT (%s) is not the primary key of %s", strings.Join(names, ", "), c.name).
				WithHint("its key is (%s)", strings.Join(c.schema.Key, ", "))
		}
	}
	if c.s.OnConflict.Nothing() {
		return c.insertOrIgnore(given, fresh), nil
	}
	return c.insertOrUpdate(given, fresh, at)
}

// NamesRead is a Read of no rows whose columns have the names of those that the source
// of a statement has which NeedsNames; Named takes them. It has all parameters.
func NamesRead(s *Statement) Read {
	c := &composer{s: s}
	from := "(" + s.Source + "\n) AS " + own("given")
	if s.Merge != nil {
		from = s.Merge.Source + "\n"
	}
	also := make([]string, len(s.after))
	for i, p := range s.after {
		also[i] = "(" + p + " IS NULL) IS NOT NULL"
	}
	r := Read{SQL: c.with() + "SELECT * FROM " + from}
	if len(also) > 0 {
		r.SQL += " WHERE " + strings.Join(also, " AND ")
	}
	r.SQL += " LIMIT 0"
	r.AddedBytes = max(0, len(r.SQL)-s.size())
	return r
}

// givenBy is the columns that INSERT gives by these names, nil for all, by their places.
func (c *composer) givenBy(names []string) ([]int, error) {
	if names == nil {
		at := make([]int, c.width())
		for i := range at {
			at[i] = i
		}
		return at, nil
	}
	at, err := c.columns(names)
	if err != nil {
		return nil, err
	}
	for i, col := range c.schema.Columns {
		if !col.Nullable && !slices.Contains(at, i) {
			return nil, lake.Errorf(lake.CodeRowsInvalid, "the statement gives no value for column %q of %s, which takes no null", col.Name, c.name).
				WithHint("name it among the columns")
		}
	}
	return at, nil
}

// source is the query of the rows, in parentheses.
func (c *composer) source(at []int) (string, error) {
	switch {
	case c.s.Values != nil:
		return c.values(at)
	case c.s.Source != "":
		return "(" + c.s.Source + "\n)", nil
	}
	nulls := make([]string, len(at))
	for k, i := range at {
		nulls[k] = c.nothing(i)
	}
	return "(SELECT " + strings.Join(nulls, ", ") + ")", nil
}

// A column of VALUES whose cells are all written in one of these ways has one type
// that loses nothing; others are cast cell by cell, as each stands for itself.
var (
	plainText    = regexp.MustCompile(`^'[^']*'$`)
	plainInteger = regexp.MustCompile(`^-?[0-9]{1,18}$`)
	plainNull    = regexp.MustCompile(`(?i)^null$`)
)

func (c *composer) values(at []int) (string, error) {
	for r, row := range c.s.Values {
		if len(row) != len(at) {
			return "", invalid("row %d of VALUES has %d values for %d columns", r+1, len(row), len(at))
		}
	}
	casts := make([]bool, len(at))
	for k := range at {
		casts[k] = !c.plain(k)
	}
	var b strings.Builder
	b.WriteString("(VALUES ")
	for r, row := range c.s.Values {
		if r > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(")
		for k, cell := range row {
			if k > 0 {
				b.WriteString(", ")
			}
			if casts[k] {
				cell = c.cast(cell, at[k])
			}
			b.WriteString(cell)
		}
		b.WriteString(")")
	}
	b.WriteString(")")
	return b.String(), nil
}

// plain says whether the cells of a column of VALUES need no cast of their own.
func (c *composer) plain(k int) bool {
	texts, integers := true, true
	for _, row := range c.s.Values {
		if plainNull.MatchString(row[k]) {
			continue
		}
		texts = texts && plainText.MatchString(row[k])
		integers = integers && plainInteger.MatchString(row[k])
	}
	return texts || integers
}

// joined is a join of rows with the keys of the target; the first key column is null
// where there is none.
func (c *composer) joined(rows string) string {
	keys := c.keys(", ", func(k, i int) string { return c.quoted(i) + " AS " + own("k", k) })
	return rows + " AS " + own("n") + " LEFT JOIN (SELECT " + keys + " FROM " + c.table + ") AS " + own("t") + " ON " +
		c.keys(" AND ", func(k, i int) string {
			return own("t") + "." + own("k", k) + " = " + own("n") + "." + c.quoted(i)
		})
}

func (c *composer) partition() string {
	return "PARTITION BY " + c.keys(", ", func(_, i int) string { return own("n") + "." + c.quoted(i) })
}

func (c *composer) newColumns() string {
	return c.all(func(i int) string { return own("n") + "." + c.quoted(i) + " AS " + c.quoted(i) })
}

// insertNew flags keys that exist and keys that come twice.
func (c *composer) insertNew(given, fresh string) found {
	flag := fmt.Sprintf("CASE WHEN %s.%s IS NOT NULL THEN %d WHEN count(*) OVER (%s) > 1 THEN %d ELSE %d END AS %s",
		own("t"), own("k", 0), FlagExists, c.partition(), FlagTwice, FlagNone, FlagColumn)
	return found{with: []string{given, fresh}, sql: "SELECT " + c.newColumns() + ", " + flag + " FROM " + c.joined(own("new")), flagged: true}
}

// insertOrIgnore passes over keys that exist; of those that come twice it takes the
// first.
func (c *composer) insertOrIgnore(given, fresh string) found {
	numbered := own("numbered") + " AS (SELECT *, row_number() OVER () AS " + own("row") + " FROM " + own("new") + ")"
	return found{with: []string{given, fresh, numbered}, sql: "SELECT " + c.newColumns() + " FROM " + c.joined(own("numbered")) +
		" WHERE " + own("t") + "." + own("k", 0) + " IS NULL QUALIFY row_number() OVER (" + c.partition() + " ORDER BY " + own("n") + "." + own("row") + ") = 1"}
}

// insertOrUpdate updates the rows of keys that exist. The new row is one column,
// excluded, so that a name alone means the row that is there.
func (c *composer) insertOrUpdate(given, fresh string, at []int) (found, error) {
	set, on := c.s.OnConflict.Set, c.s.OnConflict
	if on.Replace {
		for _, i := range at {
			if !slices.Contains(c.schema.KeyIndexes(), i) {
				set = append(set, Assignment{Column: c.schema.Columns[i].Name, Expr: "excluded." + c.quoted(i)})
			}
		}
	}
	to, err := c.assigned(set, false)
	if err != nil {
		return found{}, err
	}
	counted := own("counted") + " AS MATERIALIZED (SELECT " + own("n") + ".*, CASE WHEN count(*) OVER (" + c.partition() + ") > 1 THEN " +
		fmt.Sprint(FlagTwice) + " ELSE " + fmt.Sprint(FlagNone) + " END AS " + FlagColumn + " FROM " + own("new") + " AS " + own("n") + ")"
	excluded := "(SELECT struct_pack(" + c.all(func(i int) string { return c.quoted(i) + " := " + c.quoted(i) }) + ") AS excluded, " +
		c.keys(", ", func(k, i int) string { return c.quoted(i) + " AS " + own("k", k) }) + ", " + FlagColumn + " FROM " + own("counted") + ") AS " + own("e")
	updated := "SELECT " + c.all(func(i int) string { return own("c", i) + " AS " + c.quoted(i) }) + ", " + FlagColumn +
		" FROM (SELECT " + c.newRow(set, to) + ", " + FlagColumn + "\nFROM " + excluded + " JOIN " + c.tableAs() + " ON " +
		c.keys(" AND ", func(k, i int) string { return c.target + "." + c.quoted(i) + " = " + own("e") + "." + own("k", k) }) +
		where(on.Where) + ") AS " + own("updated")
	added := "SELECT " + c.newColumns() + ", " + own("n") + "." + FlagColumn + " AS " + FlagColumn + " FROM " + c.joined(own("counted")) +
		" WHERE " + own("t") + "." + own("k", 0) + " IS NULL"
	return found{with: []string{given, fresh, counted}, sql: updated + " UNION ALL " + added, flagged: true}, nil
}
