package engine_test

import (
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// The limit of a row holds for imports as for changes.
func TestALongRowIsRefusedAtImport(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.MaxRowBytes = 1000 })
	defer o.close()
	long := strings.Repeat("x", 2000)
	for f, text := range map[rows.Format]string{rows.CSV: "id,v\n1,a\n2," + long + "\n", rows.NDJSON: `{"id":1,"v":"` + long + `"}` + "\n"} {
		_, err := o.importText("t", engine.ImportCreate, f, nil, engine.DuplicateError, text)
		wantCode(t, err, lake.CodeTooLarge)
	}
	if _, err := o.importText("t", engine.ImportCreate, rows.CSV, nil, engine.DuplicateError, "id,v\n1,a\n"); err != nil {
		t.Fatal(err)
	}
}
