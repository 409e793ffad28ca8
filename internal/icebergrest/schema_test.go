package icebergrest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/engine"
)

// evolves commits what a schema update of iceberg-go makes of a table.
func evolves(t testing.TB, tbl *table.Table, change func(*table.UpdateSchema)) error {
	t.Helper()
	tx := tbl.NewTransaction()
	u := tx.UpdateSchema(true, true)
	change(u)
	if err := u.Commit(); err != nil {
		return err
	}
	_, err := tx.Commit(t.Context())
	return err
}

// TestSchemaFromOutside: columns that another program adds, drops, renames and widens are
// the dataset's from then on, with changes pending across it, and by their field ids.
func TestSchemaFromOutside(t *testing.T) {
	l := newLab(t, "", func(s *engine.Settings) { s.IcebergFold = engine.FoldOff })
	l.create("d", []string{"id"}, "id INTEGER", "v VARCHAR", "f FLOAT", "gone VARCHAR")
	l.change("d", engine.OpUpsert, `{"id":1,"v":"a","f":0.5,"gone":"x"}`, `{"id":2,"v":"b","f":1.5,"gone":"y"}`)
	l.compact("d")
	l.change("d", engine.OpUpsert, `{"id":2,"v":"B","f":2.5,"gone":"z"}`)
	before := l.described("d", 2).ReadPoint.Sequence
	err := evolves(t, l.load("d"), func(u *table.UpdateSchema) {
		u.AddColumn([]string{"w"}, iceberg.PrimitiveTypes.Date, "", false, nil).DeleteColumn([]string{"gone"}).
			RenameColumn([]string{"v"}, "name").UpdateColumn([]string{"id"}, table.ColumnUpdate{FieldType: iceberg.Optional[iceberg.Type]{Val: iceberg.PrimitiveTypes.Int64, Valid: true}})
	})
	if err != nil {
		t.Fatal(err)
	}
	d := l.described("d", 2)
	if got := fmt.Sprint(d.Columns, d.PrimaryKey); got != "[{id BIGINT false} {name VARCHAR true} {f FLOAT true} {w DATE true}] [id]" || d.ReadPoint.Sequence != before+1 || d.PendingRows != 1 {
		t.Fatalf("%s at %d with %d pending", got, d.ReadPoint.Sequence, d.PendingRows)
	}
	l.want("select * from d order by id", `[1,"a",0.5,null]`, `[2,"B",2.5,null]`)
	if _, err := appends(t, l.load("d"), `{"id":5000000000,"name":"c","f":3.5,"w":"2024-01-02"}`); err != nil {
		t.Fatal(err)
	}
	// Names that go round in a circle, and one that was dropped comes without its values.
	l.expect("POST", "/namespaces/main/tables/d", "", `{"requirements":[{"type":"assert-last-assigned-field-id","last-assigned-field-id":5}],"updates":[
		{"action":"add-schema","schema":{"type":"struct","schema-id":7,"identifier-field-ids":[1],"fields":[{"id":1,"name":"id","required":true,"type":"long"},{"id":2,"name":"f","required":false,"type":"string"},
		{"id":3,"name":"name","required":false,"type":"float"},{"id":5,"name":"w","required":false,"type":"date"},
		{"id":6,"name":"gone","required":false,"type":{"type":"list","element-id":7,"element":"long","element-required":false}}]}},{"action":"set-current-schema","schema-id":-1}]}`, 200, "")
	rows := []string{`[1,"a",0.5,null,null]`, `[2,"B",2.5,null,null]`, `[5000000000,"c",3.5,"2024-01-02",null]`}
	l.want("select id, f, name, w, gone from d order by id", rows...)
	l.compact("d")
	l.want("select id, f, name, w, gone from d order by id", rows...)
	l.reopened(func(l *lab) {
		l.want("select id, f, name, w, gone from d order by id", rows...)
		l.want(fmt.Sprintf("select v, gone from d at (sequence => %d) order by id", before), `["a","x"]`, `["B","z"]`)
		l.whole()
	})
}

// TestSchemaFromOutsideRefused: what a dataset cannot have is refused whole.
func TestSchemaFromOutsideRefused(t *testing.T) {
	l := filled(t)
	l.create("wide", []string{"id"}, "id BIGINT", "v VARCHAR", "s STRUCT(a BIGINT)")
	l.change("wide", engine.OpUpsert, `{"id":1,"v":null,"s":null}`)
	l.compact("wide")
	schema := func(identifiers string, fields ...string) string {
		return fmt.Sprintf(`{"action":"add-schema","schema":{"type":"struct","schema-id":1,"identifier-field-ids":[%s],"fields":[%s]}},{"action":"set-current-schema","schema-id":-1}`, identifiers, strings.Join(fields, ","))
	}
	field := func(id int, name, typ string, required bool) string {
		return fmt.Sprintf(`{"id":%d,"name":"%s","required":%v,"type":%s}`, id, name, required, typ)
	}
	const long, text = `"long"`, `"string"`
	id, v, s := field(1, "id", long, true), field(2, "v", text, false), field(3, "s", `{"type":"struct","fields":[{"id":4,"name":"a","required":false,"type":"long"}]}`, false)
	for what, c := range map[string]struct {
		updates string
		status  int
		reason  string
	}{
		"another key":             {schema("1,2", id, field(2, "v", text, true), s), 406, "identifier fields"},
		"no key":                  {schema("", id, v, s), 406, "identifier fields"},
		"a key column that goes":  {schema("", v, s), 406, "identifier field"},
		"a type that is no wider": {schema("1", id, field(2, "v", long, false), s), 0, ""},
		"a type that is unknown":  {schema("1", id, v, s, field(5, "x", `"fixed[3]"`, false)), 406, "fixed"},
		"a required column":       {schema("1", id, v, s, field(5, "x", text, true)), 400, `column "x" is null`},
		"no nulls any more":       {schema("1", id, field(2, "v", text, true), s), 400, `column "v" is null in the row with id = 1`},
		"another order":           {schema("1", v, id, s), 406, "another order"},
		"a first column":          {schema("1", field(5, "x", text, false), id, v, s), 406, "another order"},
		"a nested column":         {schema("1", id, v, field(3, "s", `{"type":"struct","fields":[{"id":4,"name":"b","required":false,"type":"long"}]}`, false)), 406, "cannot become"},
		"a comment":               {schema("1", id, strings.Replace(v, `"required"`, `"doc":"says","required"`, 1), s), 406, "comments"},
		"a default":               {schema("1", id, v, s, strings.Replace(field(5, "x", long, false), `"required"`, `"write-default":7,"required"`, 1)), 0, ""},
		"a reserved name":         {schema("1", id, v, s, field(5, "_tarn_x", long, false)), 400, "_tarn_"},
		"a name of rows":          {schema("1", id, v, s, field(5, "file_row_number", long, false)), 406, "file_row_number"},
		"an id of its own":        {schema("1", id, v, s, field(9, "x", long, false)), 406, "field ids"},
		"a schema that waits":     {`{"action":"add-schema","schema":{"type":"struct","schema-id":1,"identifier-field-ids":[1],"fields":[` + id + `,` + v + `,` + s + `,` + field(5, "x", long, false) + `]}}`, 406, "not made current"},
		"a spec and a property":   {`{"action":"set-properties","updates":{"a":"b"}},{"action":"remove-statistics","snapshot-id":1}`, 406, "statistics"},
		"a property of tarn's":    {`{"action":"set-properties","updates":{"a":"b","tarn.folded-through":"9"}}`, 406, "tarn.folded-through"},
		"a data path":             {`{"action":"set-properties","updates":{"write.data.path":"file:///tmp"}}`, 406, "write.data.path"},
		"a removal of tarn's":     {`{"action":"remove-properties","removals":["tarn.primary-key"]}`, 406, "tarn.primary-key"},
		"large properties":        {`{"action":"set-properties","updates":{"a":"` + strings.Repeat("x", 300<<10) + `"}}`, 400, "more than"},
	} {
		l.untouched("wide", func() {
			a := l.call("POST", "/namespaces/main/tables/wide", "", `{"requirements":[],"updates":[`+c.updates+`]}`)
			if c.status == 0 && a.status != 400 && a.status != 406 || c.status != 0 && a.status != c.status || !strings.Contains(fmt.Sprint(a.body), c.reason) {
				t.Errorf("%s: %d %v", what, a.status, a.body)
			}
			d, err := l.Describe(t.Context(), l.name("wide"))
			if err != nil || len(d.Columns) != 3 {
				t.Fatalf("%v, %v", d.Columns, err)
			}
		})
	}
	err := evolves(t, l.load("d"), func(u *table.UpdateSchema) {
		u.AddColumn([]string{"w"}, iceberg.PrimitiveTypes.Int64, "", false, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	// Columns and rows at once.
	tbl := l.load("d")
	l.untouched("d", func() {
		tx := tbl.NewTransaction()
		if err := tx.UpdateSchema(true, true).AddColumn([]string{"x"}, iceberg.PrimitiveTypes.Int64, "", false, nil).Commit(); err != nil {
			t.Fatal(err)
		}
		if err := tx.AppendTable(t.Context(), arrowRows(t, tbl, `{"id":9,"v":"x","w":1}`), 1000, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(t.Context()); err == nil || !strings.Contains(err.Error(), "commit the schema first") {
			t.Errorf("%v", err)
		}
	})
	l.whole()
}

// TestPropertiesFromOutside: properties are kept, and change neither rows nor the sequence.
func TestPropertiesFromOutside(t *testing.T) {
	l := filled(t)
	l.change("d", engine.OpUpsert, `{"id":9,"v":"pending"}`)
	before := l.described("d", 4).ReadPoint.Sequence
	l.untouched("d", func() {
		l.expect("POST", "/namespaces/main/tables/d", "", `{"requirements":[],"updates":[{"action":"set-properties","updates":{"write.delete.mode":"merge-on-read","owner":"me"}},{"action":"remove-properties","removals":["none"]}]}`, 200, "")
	})
	properties := func(l *lab) iceberg.Properties { l.t.Helper(); return l.load("d").Properties() }
	if p := properties(l); p["owner"] != "me" || p["write.delete.mode"] != "merge-on-read" {
		t.Errorf("%v", p)
	}
	if now := l.described("d", 4).ReadPoint.Sequence; now != before {
		t.Errorf("the sequence went from %d to %d", before, now)
	}
	l.expect("POST", "/namespaces/main/tables/d", "", `{"requirements":[],"updates":[{"action":"remove-properties","removals":["owner"]}]}`, 200, "")
	l.reopened(func(l *lab) {
		if p := properties(l); p["owner"] != "" || p["write.delete.mode"] != "merge-on-read" {
			t.Errorf("%v", p)
		}
		l.want("select count(*) from d", `[4]`)
		l.whole()
	})
}
