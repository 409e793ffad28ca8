package sqlwrite

import (
	"fmt"
	"slices"
	"strings"

	"tarn/internal/lake"
)

// The operations of a row in OpColumn of a Read. OpMoved is the key that a row had
// before its own changed: it is deleted, and is none of the rows that the statement
// counts. OpGone is a row that was deleted and whose key another row has now: it counts,
// and is no change.
const (
	OpUpsert = iota
	OpDelete
	OpMoved
	OpGone

	opInsert = 8 // of an arm: an upsert that has no row before
	opFail   = 9 // of an arm: ERROR
)

// OpColumn is the name of the column of operations, an INTEGER.
const OpColumn = lake.ReservedColumnPrefix + "op"

// mergeAction is the column of RETURNING that says what became of a row of MERGE.
const mergeAction = "merge_action"

// mixed says what a statement may do besides updates that keep their keys.
type mixed struct {
	inserts, deletes, keys bool
	fails                  bool
}

// merge makes the Read of MERGE: source and target are joined, and one CASE gives for
// each pair the row that the first arm that fits makes of it.
func (c *composer) merge() (found, error) {
	m := c.s.Merge
	what, has := mixed{}, map[Match]bool{}
	var arms []string
	for _, a := range m.Arms {
		has[a.When] = true
		made, err := c.arm(a, &what)
		if err != nil {
			return found{}, err
		}
		arms = append(arms, made)
	}
	// Where no arm does anything the CASE has its type by this.
	arms = append(arms, "WHEN false THEN "+c.armStruct("NULL", c.nothing))
	join, from := "INNER", m.Source+"\n"
	switch {
	case has[BySource] && has[ByTarget]:
		join = "FULL"
	case has[BySource]:
		join = "RIGHT"
	case has[ByTarget]:
		join = "LEFT"
	}
	if has[BySource] {
		from += "CROSS JOIN (SELECT true AS " + own("there") + ") AS " + own("source") + " "
	}
	on := "ON (" + m.On + "\n)"
	if m.Using != nil {
		columns, err := c.columns(m.Using)
		if err != nil {
			return found{}, err
		}
		names := make([]string, len(columns))
		for k, i := range columns {
			names[k] = c.quoted(i)
		}
		on = "USING (" + strings.Join(names, ", ") + ")"
	}
	key := c.keys(", ", func(k, i int) string { return c.target + "." + c.quoted(i) + " AS " + own("k", k) })
	armed := own("arms") + " AS (SELECT " + key + ", CASE " + strings.Join(arms, "\n") + " END AS " + own("row") +
		"\nFROM " + from + join + " JOIN " + c.tableAs() + " " + on + ")"
	row := func(field string) string { return own("row") + "." + field }
	// Rows that are inserted stay each for itself; of those that are changed the same
	// change is one.
	insert := row(OpColumn) + " = " + fmt.Sprint(opInsert)
	did := own("did") + " AS MATERIALIZED (SELECT DISTINCT " +
		c.keys(", ", func(k, _ int) string {
			return "CASE WHEN " + insert + " THEN NULL ELSE " + own("k", k) + " END AS " + own("k", k)
		}) +
		", CASE WHEN " + insert + " THEN " + fmt.Sprint(OpUpsert) + " ELSE " + row(OpColumn) + " END AS " + OpColumn + ", " +
		c.all(func(i int) string { return row(own("c", i)) + " AS " + own("c", i) }) +
		", CASE WHEN " + insert + " OR " + row(OpColumn) + " = " + fmt.Sprint(opFail) + " THEN row_number() OVER () END AS " + own("n") +
		" FROM " + own("arms") + " WHERE " + own("row") + " IS NOT NULL)"
	return c.mixed(what, armed, did), nil
}

// arm is one WHEN of the CASE.
func (c *composer) arm(a Arm, what *mixed) (string, error) {
	there, matched := own("source")+"."+own("there"), c.target+"."+c.quoted(c.schema.KeyIndexes()[0])
	cond := map[Match]string{Matched: matched + " IS NOT NULL", ByTarget: matched + " IS NULL", BySource: there + " IS NULL"}[a.When]
	if a.When == Matched && slices.ContainsFunc(c.s.Merge.Arms, func(b Arm) bool { return b.When == BySource }) {
		cond += " AND " + there + " IS NOT NULL"
	}
	if a.And != "" {
		cond += " AND (" + a.And + "\n)"
	}
	row, err := c.armRow(a, what)
	return "WHEN " + cond + " THEN " + row, err
}

// armRow is the row that an arm makes: a struct of the operation and all columns.
func (c *composer) armRow(a Arm, what *mixed) (string, error) {
	op := "NULL"
	value := func(i int) string { return c.target + "." + c.quoted(i) }
	switch {
	case a.Fail:
		what.fails = true
		if op = fmt.Sprint(opFail); a.Message != "" {
			op = "coalesce(CAST(error(CAST((" + a.Message + "\n) AS VARCHAR)) AS INTEGER), " + op + ")"
		}
	case a.Do == "":
		return "NULL", nil
	case a.Do == Delete:
		what.deletes = true
		op = fmt.Sprint(OpDelete)
	case a.Do == Update:
		at, err := c.assigned(a.Set, true)
		if err != nil {
			return "", err
		}
		what.keys = what.keys || c.hasKey(at)
		op = fmt.Sprint(OpUpsert)
		value = func(i int) string {
			if k := slices.Index(at, i); k >= 0 {
				return c.cast(a.Set[k].Expr, i)
			}
			return c.target + "." + c.quoted(i)
		}
	default:
		what.inserts = true
		op = fmt.Sprint(opInsert)
		at, err := c.givenBy(a.Columns)
		if err == nil && a.Values != nil && len(a.Values) != len(at) {
			err = invalid("%s THEN INSERT has %d values for %d columns", a.When, len(a.Values), len(at))
		}
		if err != nil {
			return "", err
		}
		value = func(i int) string {
			if k := slices.Index(at, i); k >= 0 && a.Values != nil {
				return c.cast(a.Values[k], i)
			}
			return c.nothing(i)
		}
	}
	return c.armStruct(op, value), nil
}

func (c *composer) armStruct(op string, value func(i int) string) string {
	return "struct_pack(" + OpColumn + " := CAST(" + op + " AS INTEGER), " + c.all(func(i int) string { return own("c", i) + " := " + value(i) }) + ")"
}

func (c *composer) hasKey(at []int) bool {
	return slices.ContainsFunc(at, func(i int) bool { return slices.Contains(c.schema.KeyIndexes(), i) })
}

// move makes the Read of UPDATE that sets columns of the key.
func (c *composer) move(at []int) found {
	from, distinct := c.tableAs(), ""
	if c.s.From != "" {
		from, distinct = c.s.From+"\n, "+from, "DISTINCT "
	}
	key := c.keys(", ", func(k, i int) string { return c.target + "." + c.quoted(i) + " AS " + own("k", k) })
	did := own("did") + " AS MATERIALIZED (SELECT " + distinct + c.newRow(c.s.Set, at) + ", " + key + ", " + fmt.Sprint(OpUpsert) + " AS " + OpColumn +
		"\nFROM " + from + where(c.s.Where) + ")"
	return c.mixed(mixed{keys: true}, did)
}

// mixed makes of the query _tarn_did, which has for each change the key before it
// (_tarn_k0…; null of a row that is inserted), the operation and the row after it
// (_tarn_c0…), the rows of a Read: flags where rows may not be taken, and the keys that
// rows had before. A key can be given to a row if no row has it, or one that is changed
// or deleted itself.
func (c *composer) mixed(what mixed, with ...string) found {
	d := func(name string) string { return own("d") + "." + name }
	upsert, old := d(OpColumn)+" = "+fmt.Sprint(OpUpsert), d(own("k", 0))+" IS NOT NULL"
	fresh := (what.inserts || what.keys) && !c.placed
	on := func(a, b string, of func(k, i int) string) string {
		return c.keys(" AND ", func(k, i int) string { return a + "." + own("x", k) + " = " + b + "." + of(k, i) })
	}
	after := func(_, i int) string { return own("c", i) }
	before := func(k, _ int) string { return own("k", k) }
	from := own("did") + " AS " + own("d")
	side := func(name, query, on string) {
		from += "\nLEFT JOIN (" + query + ") AS " + own(name) + " ON " + on
	}
	listed := func(of func(k, i int) string) string {
		return c.keys(", ", func(k, i int) string { return of(k, i) + " AS " + own("x", k) })
	}
	there := func(name string) string { return own(name) + "." + own("x", 0) + " IS NOT NULL" }
	flags := []string{}
	if what.fails {
		flags = append(flags, d(OpColumn)+" = "+fmt.Sprint(opFail), fmt.Sprint(FlagFailed))
	}
	// Keys that come twice are counted apart, not over whole rows: mostly there are none.
	twice := func(name, of string, key func(k, i int) string) {
		side(name, "SELECT "+listed(key)+" FROM "+own("did")+" WHERE "+of+" GROUP BY "+c.keys(", ", key)+" HAVING count(*) > 1", on(own(name), own("d"), key))
	}
	twice("a", own("k", 0)+" IS NOT NULL", before)
	flags = append(flags, there("a"), fmt.Sprint(FlagAmbiguous))
	op := d(OpColumn)
	if fresh {
		side("t", "SELECT "+listed(func(_, i int) string { return c.quoted(i) })+" FROM "+c.table, on(own("t"), own("d"), after))
		side("g", "SELECT DISTINCT "+listed(before)+" FROM "+own("did")+" WHERE "+own("k", 0)+" IS NOT NULL", on(own("g"), own("d"), after))
		twice("w", OpColumn+" = "+fmt.Sprint(OpUpsert), after)
		flags = append(flags, upsert+" AND "+there("w"), fmt.Sprint(FlagTwice),
			upsert+" AND "+there("t")+" AND NOT "+there("g"), fmt.Sprint(FlagExists))
	}
	if fresh && what.deletes {
		side("u", "SELECT DISTINCT "+listed(after)+" FROM "+own("did")+" WHERE "+OpColumn+" = "+fmt.Sprint(OpUpsert), on(own("u"), own("d"), before))
		op = "CASE WHEN " + op + " = " + fmt.Sprint(OpDelete) + " AND " + there("u") + " THEN " + fmt.Sprint(OpGone) + " ELSE " + op + " END"
	}
	flag := "CASE"
	for i := 0; i < len(flags); i += 2 {
		flag += "\nWHEN " + flags[i] + " THEN " + flags[i+1]
	}
	flag += " ELSE " + fmt.Sprint(FlagNone) + " END AS " + FlagColumn
	action, none := "", ""
	if c.returnsAction() {
		action = ", CASE WHEN NOT " + old + " THEN 'INSERT' WHEN " + d(OpColumn) + " = " + fmt.Sprint(OpDelete) + " THEN 'DELETE' ELSE 'UPDATE' END AS " + mergeAction
		none = ", NULL"
	}
	sql := "SELECT " + c.all(func(i int) string { return d(own("c", i)) + " AS " + c.quoted(i) }) + ", " + op + " AS " + OpColumn + action + ", " + flag + "\nFROM " + from
	if what.keys {
		// The other columns of a key that moved are those of its row, which fit.
		moved := c.all(func(i int) string {
			if k := slices.Index(c.schema.KeyIndexes(), i); k >= 0 {
				return d(own("k", k))
			}
			return d(own("c", i))
		})
		sql += "\nUNION ALL\nSELECT " + moved + ", " + fmt.Sprint(OpMoved) + none + ", " + fmt.Sprint(FlagNone) + " FROM " + own("did") + " AS " + own("d") +
			"\nLEFT JOIN (SELECT DISTINCT " + listed(after) + " FROM " + own("did") + " WHERE " + OpColumn + " = " + fmt.Sprint(OpUpsert) + ") AS " + own("u") + " ON " + on(own("u"), own("d"), before) +
			"\nWHERE " + upsert + " AND " + old + " AND NOT " + there("u")
	}
	return found{with: with, sql: sql, mixed: true, flagged: true}
}

// returnsAction says whether RETURNING can name what became of a row.
func (c *composer) returnsAction() bool {
	if c.s.Merge == nil || c.s.Returning == nil {
		return false
	}
	_, taken := c.schema.Column(mergeAction)
	return !taken
}
