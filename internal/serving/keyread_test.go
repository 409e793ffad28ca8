package serving

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// A read by key that is recognised answers as the same question that passes the gate
// (it has a LIMIT) does: cold and hot, with and without pending changes, and with the
// value in a parameter.
func TestPointRead(t *testing.T) {
	l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
	long, short, text := simple(t), schemaOf(t, "k", "k INTEGER", "v VARCHAR"), schemaOf(t, "K", `K VARCHAR`, "v BIGINT")
	l.publish("long", "a.long", row(1, "one"), row(-2, "two"), row(9007199254740993, "far"))
	for _, d := range []struct {
		uuid   string
		schema lake.Schema
		rows   []string
	}{
		{"short", short, []string{`{"k":7,"v":"x"}`, `{"k":-2147483648,"v":null}`}},
		{"text", text, []string{`{"K":"it's","v":1}`, `{"K":"","v":2}`, `{"K":"7","v":3}`}},
	} {
		l.tell(publishEntry(lake.Publish{TableUUID: d.uuid, Name: name(d.uuid), Schema: d.schema, Files: []lake.BaseFile{l.baseFile(d.schema, d.rows, nil)}}))
	}
	asks := []struct {
		sql        string
		params     []any
		recognised bool
	}{
		{"select * from a.long where id = 1", nil, true},
		{"SELECT * FROM A.Long WHERE ID = -2;", nil, true},
		{"select * from a.long where id = ?", []any{json.Number("9007199254740993")}, true},
		{"select * from a.long where id = 3", nil, true},
		{"select * from a.long where id = ?", []any{json.Number("1.5")}, false},
		{"select * from a.long where id = '1'", nil, false},
		{"select * from a.long where v = 'one'", nil, false},
		{"select * from short where k = 7", nil, true},
		{"select * from short where k = -2147483648", nil, true},
		{"select * from short where k = 2147483648", nil, false},
		{"select * from text where k = 'it''s'", nil, true},
		{"select * from text where k = ''", nil, true},
		{"select * from text where k = $1", []any{"7"}, true},
	}
	compare := func(state string) {
		t.Helper()
		for _, ask := range asks {
			params := duck.Params{Positional: ask.params}
			if _, ok := l.s.pointRead(Request{SQL: ask.sql, Params: params}); ok != ask.recognised {
				t.Errorf("%s: recognised: %v", ask.sql, ok)
			}
			run := func(sql string) (string, *Answer) {
				ctx := l.context()
				a, err := l.s.Query(ctx, Request{SQL: sql, Params: params, See: l.number})
				if err != nil {
					t.Fatalf("%s, %s: %v", state, sql, err)
				}
				defer a.Close()
				out, err := read(ctx, a)
				if err != nil {
					t.Fatalf("%s, %s: %v", state, sql, err)
				}
				return fmt.Sprint(out), a
			}
			limited := ask.sql
			if limited[len(limited)-1] == ';' {
				limited = limited[:len(limited)-1]
			}
			got, by := run(ask.sql)
			want, gated := run(limited + " limit 2")
			if got != want || !reflect.DeepEqual(by.Columns, gated.Columns) || !reflect.DeepEqual(by.ReadPoints, gated.ReadPoints) ||
				!reflect.DeepEqual(by.ServedFrom, gated.ServedFrom) || by.Repeatable != gated.Repeatable {
				t.Errorf("%s, %s: %s of %+v, want %s of %+v", state, ask.sql, got, by, want, gated)
			}
		}
	}
	compare("cold")
	l.tell(applyEntry("long", l.delta("long", long, 1, []change{{row: row(1, "changed")}, {key: `{"id":-2}`}, {row: row(3, "new")}})))
	compare("cold, changed")
	for _, uuid := range []string{"long", "short", "text"} {
		l.load(uuid)
	}
	compare("hot")
	l.tell(applyEntry("long", l.delta("long", long, 2, []change{{row: row(1, "again")}, {key: `{"id":3}`}})))
	compare("hot, changed")
}

// What a caller may not see is not there, and a name that moved on to another dataset
// is read as that one.
func TestPointReadOfNames(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	l.publish("u", "d", row(1, "one"))
	other, err := lake.ParseNamePattern("other")
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.s.Query(l.context(), Request{SQL: "select * from d where id = 1", Visible: lake.NewNameSet(other)})
	wantCode(t, err, lake.CodeDatasetNotFound)

	old, ok := l.s.pointRead(Request{SQL: "select * from d where id = 1"})
	if !ok {
		t.Fatal("not recognised")
	}
	l.tell(lake.Entry{Drop: &lake.Drop{TableUUID: "u"}})
	l.publish("w", "d", row(1, "another"))
	l.ask("select * from d")
	sess, err := l.s.pool.get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.s.run(l.context(), sess, old); err != errMoved {
		t.Errorf("a plan for a dataset that is gone: %v", err)
	}
	l.s.pool.put(sess, true)
	if got, _ := l.ask("select * from d where id = 1"); fmt.Sprint(got) != "["+row(1, "another")+"]" {
		t.Error(got)
	}
}
