package serving

import (
	"fmt"
	"testing"

	"tarn/internal/lake"
)

// TestFormsPart: files of one form are read by one scan; where the order of files is
// that of rows, only neighbours are.
func TestFormsPart(t *testing.T) {
	f := forms{}
	var files []lake.BaseFile
	var all []int
	for i, print := range []string{"a", "a", "b", "a", "b", "b"} {
		path := fmt.Sprint(i)
		f[path] = &form{print: print}
		files, all = append(files, lake.BaseFile{Path: path}), append(all, i)
	}
	for _, c := range []struct {
		forms   forms
		which   []int
		ordered bool
		want    string
	}{
		{f, all, false, "[[0 1 3] [2 4 5]]"},
		{f, all, true, "[[0 1] [2] [3] [4 5]]"},
		{f, []int{1, 4}, true, "[[1] [4]]"},
		{f, nil, false, "[]"},
		{nil, all, false, "[[0 1 2 3 4 5]]"},
		{nil, all, true, "[[0 1 2 3 4 5]]"},
	} {
		if got := fmt.Sprint(c.forms.parted(c.which, files, c.ordered)); got != c.want {
			t.Errorf("%v ordered %v: %s and not %s", c.which, c.ordered, got, c.want)
		}
	}
}

// TestFormsNameColumns: a column is found by its field id, and a scan of a file that
// was not looked into fails instead of giving nulls.
func TestFormsNameColumns(t *testing.T) {
	v := coldView{forms: forms{"old": {print: "x", names: map[int]string{1: "was", 3: "gone"}}}, schema: lake.Schema{Columns: []lake.Column{
		{ID: 1, Name: "is", Type: lake.Type{Kind: lake.Bigint}}, {ID: 2, Name: "was", Type: lake.Type{Kind: lake.Varchar}}, {ID: 4, Name: "b", Type: lake.Type{Kind: lake.Blob}},
	}}}
	if got, want := v.columns("old"), `CAST("was" AS BIGINT) AS "is", CAST(NULL AS VARCHAR) AS "was", CAST(NULL AS BLOB) AS "b"`; got != want {
		t.Errorf("%s and not %s", got, want)
	}
	if got, want := v.columns("other"), `CAST("_tarn_unknown_form" AS BIGINT) AS "is", CAST("_tarn_unknown_form" AS VARCHAR) AS "was", CAST("_tarn_unknown_form" AS BLOB) || ''::BLOB AS "b"`; got != want {
		t.Errorf("%s and not %s", got, want)
	}
	v.forms = nil
	if got, want := v.columns("any"), `CAST("is" AS BIGINT) AS "is", CAST("was" AS VARCHAR) AS "was", CAST("b" AS BLOB) || ''::BLOB AS "b"`; got != want {
		t.Errorf("%s and not %s", got, want)
	}
}
