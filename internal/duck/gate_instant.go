//go:build duckdb_arrow

package duck

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// A dataset as it was: FROM name [alias] AT (SEQUENCE => n) or (TIMESTAMP => 'text').
// DuckDB parses AT with the units VERSION and TIMESTAMP, and has no history itself: the
// gate takes the clause out of the text and names a view in its place, which the caller
// makes (InstantView).

// InstantView is the full name of the view that stands for an instant in Checked.SQL, by
// its place in Checked.Instants.
func InstantView(n int) string { return fmt.Sprintf("temp.main.%s", lake.QuoteIdent(instantName(n))) }

func instantName(n int) string { return fmt.Sprintf("%sat_%d", lake.ReservedColumnPrefix, n) }

// SnapshotView is the full name of the view that stands for a dataset in the text of a
// snapshot (GateEnv.Snapshot), by its place in Checked.Datasets. DuckDB looks for a name
// among temporary views first, so that one of the namespace main has the name of the
// dataset, and its columns can be named in every way. In another namespace there are no
// temporary views, and the text that comes out names the view.
func SnapshotView(name lake.Name, n int) string {
	if sameName(name.Namespace, lake.DefaultNamespace) {
		return "temp.main." + lake.QuoteIdent(name.Dataset)
	}
	return InstantView(n)
}

// instantAt is a place in a text that names an instant.
type instantAt struct {
	n            int  // in instants; of a snapshot in datasets
	bare         bool // it is of a snapshot, and has no AT
	kept         bool // and is read as it is: it gets an alias alone
	location     int  // of the name, in bytes
	named, alias bool
	columns      bool // the alias has columns
	name         string
}

// sequenceUnit makes SEQUENCE behind AT ( to VERSION, which is what DuckDB parses, in
// as many bytes: places in the text stay what they are. Nothing else can stand there.
func sequenceUnit(sql string) string {
	var out []byte
	s := sqltext.New(sql)
	before := [2]string{}
	for s.Next() {
		if before[0] == "at" && before[1] == "(" && lower(s.Word) == "sequence" {
			if out == nil {
				out = []byte(sql)
			}
			copy(out[s.Start:], "VERSION ")
		}
		before[0], before[1] = before[1], lower(s.Word)
	}
	if out == nil {
		return sql
	}
	return string(out)
}

// instant notes that a relation is a dataset as it was.
func (w *walker) instant(o, at object, name lake.Name) error {
	location, ok := o["query_location"].(float64)
	if !ok || location < 0 || location > math.MaxInt32 {
		return refused("AT in this place")
	}
	in, err := instantOf(at, name, w.env.Placed)
	if err != nil {
		return err
	}
	n := slices.Index(w.instants, in)
	if n < 0 {
		if len(w.instants) == maxInstants {
			return lake.Errorf(lake.CodeTooLarge, "the SQL names more than %d earlier states", maxInstants).WithHint("ask for them in several queries")
		}
		n = len(w.instants)
		w.instants = append(w.instants, in)
	}
	w.places = append(w.places, placeOf(o, n, location))
	return nil
}

func placeOf(o object, n int, location float64) instantAt {
	columns, _ := o["column_name_alias"].([]any)
	return instantAt{
		n: n, location: int(location), alias: text(o, "alias") != "", columns: len(columns) > 0, name: text(o, "table_name"),
		named: text(o, "schema_name") != "",
	}
}

// snapshot notes where a dataset is named whose view has another name. One that is read as
// it is gets the alias that it would have with a view: so a text means the same with and
// without one, and also fails in both.
func (w *walker) snapshot(o object, name lake.Name) error {
	kept := !w.env.Snapshot(name)
	if sameName(name.Namespace, lake.DefaultNamespace) || kept && text(o, "alias") != "" {
		return nil
	}
	location, ok := o["query_location"].(float64)
	if !ok || location < 0 || location > math.MaxInt32 {
		return refused("%s in this place in a transaction", name)
	}
	p := placeOf(o, slices.Index(w.datasets, name), location)
	p.bare, p.kept = true, kept
	w.places = append(w.places, p)
	return nil
}

// maxInstants bounds the earlier states that a text names: each takes a look at manifests
// and deltas.
const maxInstants = 32

// instantOf reads an AT clause: a constant, so that the text alone says which instant.
func instantOf(at object, name, placed lake.Name) (lake.Instant, error) {
	in := lake.Instant{Dataset: name}
	unit := text(at, "unit")
	value, typ, ok := constant(at["expr"], unit)
	switch {
	case !ok:
		return in, refused("AT with what is no constant").WithHint("write AT (SEQUENCE => 12) or AT (TIMESTAMP => '2026-11-28 10:00:00+00')")
	case unit == "VERSION" && value == lake.PlacedVersion && name.Key() == placed.Key():
		in.Placed = true
	case unit == "VERSION":
		n, isNumber := value.(float64)
		if !isNumber || n < 0 || n >= 1<<53 || n != math.Trunc(n) || !strings.HasSuffix(typ, "INT") && typ != "INTEGER" {
			return in, lake.Errorf(lake.CodeSQLInvalid, "AT (SEQUENCE => n) takes a number from 0")
		}
		in.Sequence = int64(n)
	case unit == "TIMESTAMP":
		s, isText := value.(string)
		if !isText || typ != "VARCHAR" || s == "" {
			return in, lake.Errorf(lake.CodeSQLInvalid, "AT (TIMESTAMP => …) takes a time as text")
		}
		in.Time = s
	default:
		return in, refused("AT with the unit %s", unit)
	}
	return in, nil
}

// instantTypes are those that the constant of a unit may be cast to, once.
var instantTypes = map[string]map[string]bool{
	"VERSION":   {"BIGINT": true, "INTEGER": true},
	"TIMESTAMP": {"TIMESTAMP": true, "TIMESTAMP WITH TIME ZONE": true},
}

// constant gives a literal, and its type, through one cast.
func constant(part any, unit string) (value any, typ string, ok bool) {
	o, _ := part.(object)
	if o["class"] == "CAST" {
		cast, _ := o["cast_type"].(object)
		if !instantTypes[unit][text(cast, "id")] || o["try_cast"] != false {
			return nil, "", false
		}
		o, _ = o["child"].(object)
	}
	v, _ := o["value"].(object)
	t, _ := v["type"].(object)
	if o["class"] != "CONSTANT" || v["is_null"] != false {
		return nil, "", false
	}
	return v["value"], text(t, "id"), true
}

// withInstants names the views in a text in place of the datasets with AT. What comes out
// is parsed once more: its tree must be the one that was judged, with the views in it, so
// that a mistake in cutting can say nothing that was not looked at.
func (g *Gate) withInstants(ctx context.Context, text statementText, judged object, places []instantAt) (string, error) {
	if len(places) == 0 {
		return text.query, nil
	}
	sql, err := cutInstants(text.query, places)
	if err != nil {
		return "", err
	}
	text.query = sql
	cut, err := g.parse(ctx, text)
	if err != nil {
		return "", err
	}
	byLocation := map[float64]instantAt{}
	for _, p := range places {
		byLocation[float64(p.location)] = p
	}
	if !reflect.DeepEqual(withViews(judged, byLocation), withViews(cut, nil)) {
		return "", unclearPlace(places[0])
	}
	return sql, nil
}

// withViews is a tree without the places in the text, and with the views in place of what
// has AT.
func withViews(part any, places map[float64]instantAt) any {
	switch part := part.(type) {
	case []any:
		out := make([]any, len(part))
		for i, p := range part {
			out[i] = withViews(p, places)
		}
		return out
	case object:
		out := object{}
		for name, p := range part {
			if name != "query_location" {
				out[name] = withViews(p, places)
			}
		}
		location, _ := part["query_location"].(float64)
		if p, ok := places[location]; ok && (part["at_clause"] != nil || p.bare && part["type"] == "BASE_TABLE") {
			if !p.kept {
				out["catalog_name"], out["schema_name"], out["table_name"], out["at_clause"] = "temp", "main", instantName(p.n), nil
			}
			if !p.alias {
				out["alias"] = p.name
			}
		}
		return out
	}
	return part
}

// cutInstants takes the clauses out. It fails where the text does not stand as the tree
// says.
func cutInstants(sql string, places []instantAt) (string, error) {
	slices.SortFunc(places, func(a, b instantAt) int { return b.location - a.location })
	for _, p := range places {
		name, at, err := instantSpans(sql, p)
		if err != nil {
			return "", err
		}
		view := InstantView(p.n)
		if p.kept {
			view = sql[name[0]:name[1]]
		}
		if !p.alias {
			view += " AS " + lake.QuoteIdent(p.name)
		}
		sql = sql[:name[0]] + view + sql[name[1]:at[0]] + " " + sql[at[1]:]
	}
	return sql, nil
}

// instantSpans finds where a name and its AT clause stand.
func instantSpans(sql string, p instantAt) (name, at [2]int, err error) {
	unclear := unclearPlace(p)
	if p.location >= len(sql) {
		return name, at, unclear
	}
	s := sqltext.New(sql[p.location:])
	next := s.Next
	if !next() || s.Start != 0 {
		return name, at, unclear
	}
	if p.named && (!next() || s.Word != "." || !next()) {
		return name, at, unclear
	}
	if last := sql[p.location+s.Start : p.location+s.End()]; last != p.name && lower(last) != lower(p.name) && !(last[0] == '"' && sqltext.Unquote(last) == p.name) {
		return name, at, unclear
	}
	name = [2]int{p.location, p.location + s.End()}
	if p.bare {
		return name, [2]int{name[1], name[1]}, nil
	}
	ok := next()
	if p.alias {
		if ok && lower(s.Word) == "as" {
			ok = next()
		}
		ok = ok && next() // over the alias
		if p.columns {
			ok = ok && s.Word == "(" && overBrackets(s) && next()
		}
	}
	if !ok || lower(s.Word) != "at" {
		return name, at, unclear
	}
	at[0] = p.location + s.Start
	if !next() || s.Word != "(" || !overBrackets(s) {
		return name, at, unclear
	}
	at[1] = p.location + s.End()
	return name, at, nil
}

// unclearPlace is the error of a place that does not stand in the text as the tree says.
func unclearPlace(p instantAt) error {
	if p.bare {
		return refused("%s in this place in a transaction", p.name).WithHint("write FROM namespace.name, or FROM namespace.name AS alias")
	}
	return refused("AT in this place").WithHint("write FROM name AT (SEQUENCE => n), or FROM name AS alias AT (…)")
}

// overBrackets goes from an opening bracket to its closing one.
func overBrackets(s *sqltext.Scanner) bool {
	for depth := 1; depth > 0; {
		if !s.Next() {
			return false
		}
		switch s.Word {
		case "(":
			depth++
		case ")":
			depth--
		}
	}
	return true
}
