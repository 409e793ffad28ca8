package serving

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// TestPlacedRows: each live row of each file has its place, by the file's number and its own,
// also beside position deletes, and where a column hides the numbers that DuckDB gives.
func TestPlacedRows(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	for _, hidden := range []string{"v VARCHAR", "file_index VARCHAR", "File_Row_Number VARCHAR"} {
		s := schemaOf(t, "", "id BIGINT", hidden)
		c := s.Columns[1].Name
		row := func(id int) string { return fmt.Sprintf(`{"id":%d,"%s":"r%d"}`, id, c, id) }
		v := coldView{schema: s, files: []lake.BaseFile{
			l.baseFile(s, []string{row(0), row(1)}, nil),
			l.baseFile(s, []string{row(10), row(11)}, []string{row(12)}),
			l.baseFile(s, []string{row(20)}, nil),
		}}
		delta := l.baseFile(s, []string{row(30), row(31)}, nil)
		var got []string
		rows := func(sql string) [][]any {
			out, err := l.conn.Rows(t.Context(), sql)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		for _, r := range rows(fmt.Sprintf("SELECT %s, id, %s FROM (%s) ORDER BY 1", lake.PlaceColumn, lake.QuoteIdent(c), v.placedSQL([]lake.BaseFile{{Path: delta.Path}}))) {
			place := r[0].(int64)
			got = append(got, fmt.Sprintf("%d %d %v %v", place>>lake.PlaceBits, place&(1<<lake.PlaceBits-1), r[1], r[2]))
		}
		if want := strings.Split("0 0 0 r0,0 1 1 r1,1 0 10 r10,1 1 11 r11,2 0 20 r20,3 0 30 r30,3 1 31 r31", ","); !slices.Equal(got, want) {
			t.Errorf("%s: %v", c, got)
		}
		if got := rows(coldView{schema: s}.placedSQL(nil)); len(got) != 0 {
			t.Errorf("%s: %v of nothing", c, got)
		}
	}
}
