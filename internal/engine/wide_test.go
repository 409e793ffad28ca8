package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"tarn/internal/engine"
)

// TestAWideDataset: a dataset of very many columns takes rows, can be compacted, and starts
// with changes pending.
func TestAWideDataset(t *testing.T) {
	const width = 2000
	dir := t.TempDir()
	o := openLake(t, dir, func(o *engine.Options) {
		o.Settings.JobMemoryBytes = 512 << 20 // each column has buffers of its own
	})
	defer func() { o.close() }()
	columns := []string{"id BIGINT"}
	row := []string{`"id":1`}
	for i := range width {
		kind := []string{"BIGINT", "VARCHAR", "DOUBLE"}[i%3]
		columns = append(columns, fmt.Sprintf("c%d %s", i, kind))
		value := fmt.Sprint(i)
		if kind == "VARCHAR" {
			value = fmt.Sprintf("%q", value)
		}
		row = append(row, fmt.Sprintf(`"c%d":%s`, i, value))
	}
	o.create("wide", schema(t, []string{"id"}, columns...))
	o.change("wide", engine.OpUpsert, "{"+strings.Join(row, ",")+"}")
	if c := o.compact("wide"); c.FinalRows != 1 {
		t.Fatalf("%+v", c)
	}
	o.change("wide", engine.OpUpsert, "{"+strings.Replace(strings.Join(row, ","), `"id":1`, `"id":2`, 1)+"}")
	if c := o.compact("wide"); c.FinalRows != 2 {
		t.Fatalf("%+v", c)
	}
	o.want("select id, c0, c1, c1999 from wide order by id", `[1,0,"1","1999"]`, `[2,0,"1","1999"]`)
	o.change("wide", engine.OpDelete, `{"id":1}`)
	o = reopened(t, o, dir, "select id, c0, c1, c1999 from wide", `[2,0,"1","1999"]`)
	o.verifyClean()
}
