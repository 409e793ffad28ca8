package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/parquet/file"

	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/httpapi"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// openLake opens a lake for the length of a test.
func openLake(t *testing.T) *engine.Engine {
	ctx := context.WithoutCancel(t.Context())
	e, err := engine.Open(ctx, engine.Options{Data: t.TempDir(), MemoryBytes: 2 << 30, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return e
}

// clientOfLake is a client of a lake of its own.
func clientOfLake(t *testing.T) *client.Client {
	c, end := client.NewInMemory(httpapi.New(openLake(t), httpapi.Options{}))
	t.Cleanup(end)
	return c
}

// TestOnALake goes the main way over a real lake: what the fakes of the other
// tests stand for is so.
func TestOnALake(t *testing.T) {
	ctx := t.Context()
	c := clientOfLake(t)

	name := lake.Name{Namespace: "main", Dataset: "people"}
	if _, err := c.Create(ctx, name, client.Definition{Columns: []client.Column{{Name: "id", Type: "BIGINT"}, {Name: "k", Type: "VARCHAR"}, {Name: "rate", Type: "DECIMAL(10,2)"}}, PrimaryKey: []string{"id", "k"}}, "k-create"); err != nil {
		t.Fatal(err)
	}
	text := `[{"id":9007199254740993,"k":"a,b","rate":40.5},{"id":2,"k":"","rate":null}]`
	body := func(s string) client.Body {
		return client.Body{ContentType: rows.MediaJSON, Reader: strings.NewReader(s), Length: int64(len(s))}
	}
	first, err := c.Upsert(ctx, name, body(text), client.ChangeOptions{IdempotencyKey: "k-1"})
	if err != nil || first.Rows != 2 || first.Sequence != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := c.Upsert(ctx, name, body(text), client.ChangeOptions{IdempotencyKey: "k-1"})
	if err != nil || again != first {
		t.Errorf("a retry: %+v, %v, want %+v", again, err, first)
	}
	if _, err := c.Upsert(ctx, name, body("[]"), client.ChangeOptions{IdempotencyKey: "k-1"}); lake.CodeOf(err) != lake.CodeIdempotencyReused {
		t.Errorf("another request with the key: %v", err)
	}
	if _, err := c.Delete(ctx, name, body(`{"id":2,"k":""}`), client.ChangeOptions{IfMatch: `"other.1.1"`}); lake.CodeOf(err) != lake.CodePreconditionFailed {
		t.Errorf("another state: %v", err)
	}
	row, etag, err := c.Row(ctx, name, "9007199254740993", "a,b")
	if err != nil || strings.TrimSpace(string(row)) != `{"id":9007199254740993,"k":"a,b","rate":"40.50"}` || etag != first.ETag {
		t.Errorf("%s, %s, %v", row, etag, err)
	}
	if _, _, err := c.Row(ctx, name, "2", "absent"); lake.CodeOf(err) != lake.CodeRowNotFound {
		t.Errorf("an absent row: %v", err)
	}

	for format, check := range map[rows.OutFormat]func([]byte) bool{
		rows.OutJSON: func(b []byte) bool {
			var out struct {
				RowCount int64 `json:"row_count"`
			}
			return json.Unmarshal(b, &out) == nil && out.RowCount == 2
		},
		rows.OutNDJSON: func(b []byte) bool { return bytes.Count(b, []byte("\n")) == 2 },
		rows.OutCSV:    func(b []byte) bool { return bytes.HasPrefix(b, []byte("id,k,rate\r\n2,\"\",\r\n")) },
		rows.OutArrow: func(b []byte) bool {
			r, err := ipc.NewReader(bytes.NewReader(b))
			if err != nil {
				return false
			}
			defer r.Release()
			n := int64(0)
			for r.Next() {
				n += r.RecordBatch().NumRows()
			}
			return n == 2 && r.Err() == nil
		},
		rows.OutParquet: func(b []byte) bool {
			f, err := file.NewParquetReader(bytes.NewReader(b))
			return err == nil && f.NumRows() == 2 && f.Close() == nil
		},
	} {
		ans, err := c.SQL(ctx, client.Query{SQL: "SELECT * FROM people ORDER BY id", Format: format})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(ans)
		ans.Close()
		if err != nil || !check(got) || ans.Tail().RowCount != 2 {
			t.Errorf("%s: %q, %v, tail %+v", format.ContentType(), got, err, ans.Tail())
		}
	}
	if _, err := c.SQL(ctx, client.Query{SQL: "ATTACH 'people'", Format: rows.OutJSON}); lake.CodeOf(err) != lake.CodeSQLRefused {
		t.Errorf("the gate: %v", err)
	}

	done, err := c.Compact(ctx, client.CompactOptions{Dataset: &name})
	if err != nil || len(done) != 1 || done[0].FinalRows != 2 || done[0].DeltasMerged != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	res, err := c.Import(ctx, lake.Name{Namespace: "main", Dataset: "log"}, []client.File{csvFile("a.csv", "n\n1\n2\n"), csvFile("b.csv", "n\n3\n")}, client.ImportOptions{})
	if err != nil || res.Rows != 3 || res.Files != 2 {
		t.Errorf("%+v, %v", res, err)
	}
	if d, err := c.Describe(ctx, name); err != nil || d.Rows != 2 || d.BaseRows != 2 || d.ETag != first.ETag {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestStatementsOnALake: statements over HTTP change a real lake, once for a key, and
// an answer that was kept from before is not given again.
func TestStatementsOnALake(t *testing.T) {
	ctx := t.Context()
	c := clientOfLake(t)
	name := lake.Name{Namespace: "main", Dataset: "people"}
	if _, err := c.Create(ctx, name, client.Definition{Columns: []client.Column{{Name: "id", Type: "BIGINT"}, {Name: "rate", Type: "DECIMAL(10,2)"}}, PrimaryKey: []string{"id"}}, ""); err != nil {
		t.Fatal(err)
	}
	total := func() string {
		t.Helper()
		a, err := c.SQL(ctx, client.Query{SQL: "SELECT count(*) AS n, sum(rate) AS s FROM people", Format: rows.OutNDJSON})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		text, err := io.ReadAll(a)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	last := engine.StatementResult{}
	for _, step := range []struct {
		sql    string
		params any
		rows   int64
		total  string
	}{
		{"INSERT INTO people VALUES (1, 40.5), (2, ?)", []any{json.Number("1.25")}, 2, `{"n":2,"s":"41.75"}`},
		{"EXPLAIN UPDATE people SET rate = 0", nil, 2, `{"n":2,"s":"41.75"}`},
		{"UPDATE people SET rate = rate * 2 WHERE id = $id", map[string]any{"id": 1}, 1, `{"n":2,"s":"82.25"}`},
		{"DELETE FROM people WHERE id = 7", nil, 0, `{"n":2,"s":"82.25"}`},
		{"INSERT INTO people SELECT id + 10, rate FROM people ON CONFLICT DO NOTHING", nil, 2, `{"n":4,"s":"164.50"}`},
		{"DELETE FROM people WHERE id > 10", nil, 2, `{"n":2,"s":"82.25"}`},
	} {
		o := client.ChangeOptions{IdempotencyKey: step.sql, IfMatch: last.ETag}
		if strings.HasPrefix(step.sql, "EXPLAIN") {
			o = client.ChangeOptions{}
		}
		for range 2 {
			r, err := c.Execute(ctx, client.Query{SQL: step.sql, Params: step.params}, o)
			if err != nil || r.Rows != step.rows {
				t.Fatalf("%s: %+v, %v", step.sql, r, err)
			}
			if r.ETag != "" {
				last = r
			}
			for range 2 { // the second from what was kept
				if got := total(); got != step.total {
					t.Errorf("%s: %s, want %s", step.sql, got, step.total)
				}
			}
		}
	}
	for name, out := range formats() {
		a, err := c.ExecuteReturning(ctx, client.Query{SQL: "UPDATE people SET rate = rate RETURNING id, '" + name + "' AS f", Format: out}, client.ChangeOptions{IdempotencyKey: name})
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(a)
		if err != nil || a.Tail().RowCount != 2 || !strings.Contains(string(text), name) || a.Changed == nil || a.Changed.Rows != 2 || a.Changed.Statement != "update" {
			t.Errorf("%s: %q, %v, %+v, %+v", name, text, err, a.Tail(), a.Changed)
		}
		a.Close()
		_, err = c.ExecuteReturning(ctx, client.Query{SQL: "UPDATE people SET rate = rate RETURNING id, '" + name + "' AS f", Format: out}, client.ChangeOptions{IdempotencyKey: name})
		if lake.CodeOf(err) != lake.CodeRowsNotKept {
			t.Errorf("once more: %v", err)
		}
	}
	const transaction = "BEGIN; UPDATE people SET rate = rate + ? WHERE id = 1; DELETE FROM people WHERE id = 2; INSERT INTO people SELECT id + 1, ? FROM people; "
	for _, end := range []string{"ROLLBACK", "COMMIT", "COMMIT"} { // the second commit is the first again
		r, err := c.ExecuteTransaction(ctx, client.Query{SQL: transaction + end, Params: []any{1, json.Number("2.5")}}, client.ChangeOptions{IdempotencyKey: end})
		if err != nil || r.Rows != 3 || len(r.Statements) != 3 || r.RolledBack != (end == "ROLLBACK") || r.ReadPoints["people"].TableUUID == "" {
			t.Fatalf("%s: %+v, %v", end, r, err)
		}
		want := map[string]string{"ROLLBACK": `{"n":2,"s":"82.25"}`, "COMMIT": `{"n":2,"s":"84.50"}`}[end]
		if got := total(); got != want {
			t.Errorf("after %s: %s, want %s", end, got, want)
		}
	}
	if _, err := c.ExecuteTransaction(ctx, client.Query{SQL: "BEGIN; DELETE FROM people; INSERT INTO people VALUES (1, 1), (1, 2); COMMIT"}, client.ChangeOptions{}); lake.CodeOf(err) != lake.CodeKeyConflict || !strings.Contains(err.Error(), "statement 2, insert people") {
		t.Errorf("a transaction that fails: %v", err)
	}
	if _, err := c.Execute(ctx, client.Query{SQL: "DELETE FROM people"}, client.ChangeOptions{IfMatch: `"other.1.1"`}); lake.CodeOf(err) != lake.CodePreconditionFailed {
		t.Errorf("another state: %v", err)
	}
}
