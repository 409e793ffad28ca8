package httpapi_test

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tarn/internal/client"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// Every typed call of the client reaches the lake as it was meant.
func TestClientCalls(t *testing.T) {
	d := newDoor()
	c := serve(t, d)
	ctx := t.Context()
	other := lake.Name{Namespace: "ns", Dataset: "other"}
	body := func(s string) client.Body {
		return client.Body{ContentType: "application/x-ndjson", Reader: strings.NewReader(s), Length: int64(len(s))}
	}
	no := false
	tests := []struct {
		name string
		call func() error
		want string
	}{
		{"datasets", func() error { l, err := c.Datasets(ctx); return must(err, len(l) == 1 && l[0].Dataset == "ts") }, "list"},
		{"describe", func() error {
			e, err := c.Describe(ctx, ts())
			return must(err, e.Rows == 3 && e.ETag != "" && *e.ReadPoint.Snapshot == "42")
		}, "describe ts"},
		{"create", func() error {
			e, err := c.Create(ctx, other, client.Definition{Columns: []client.Column{{Name: "a b", Type: "BIGINT", Nullable: &no}}, PrimaryKey: []string{"a b"}}, "k1")
			return must(err, e.Dataset == "ns.other")
		}, `create ns.other [{0 a b BIGINT false}] key=[a b] idem={"k1" "PUT\n/datasets/ns.other\n\napplication/json"}`},
		{"rename", func() error { _, err := c.Rename(ctx, ts(), other, ""); return err }, `rename ts to ns.other idem={"" ""}`},
		{"alter", func() error {
			r, err := c.Alter(ctx, ts(), []client.SchemaOperation{{Op: "add_column", Name: "a b", Type: "DATE", IfNotExists: true}, {Op: "rename_column", Name: "note", To: "n"}}, "k9")
			return must(err, r.Changed && r.Sequence == 8 && strings.HasSuffix(r.ETag, `.8.0"`))
		}, `alter ts [{add_column a b  DATE 0 true} {rename_column note n <kind 0> 0 false}] idem={"k9" "POST\n/datasets/ts/schema\n\napplication/json"}`},
		{"alter by sql", func() error { _, err := c.AlterBySQL(ctx, "ALTER TABLE ts DROP note", ""); return err },
			`alter ts [{drop_column note  <kind 0> 0 false}] idem={"" ""}`},
		{"drop", func() error { return c.Drop(ctx, ts(), "k2") }, `drop ts idem={"k2" "DELETE\n/datasets/ts\n\n"}`},
		{"deltas", func() error { l, err := c.Deltas(ctx, ts()); return must(err, len(l) == 1 && l[0].Sequence == 7) }, "deltas ts"},
		{"upsert", func() error {
			r, err := c.Upsert(ctx, ts(), body("{}"), client.ChangeOptions{MissingNull: true, IfMatch: `"x.1.1"`, IdempotencyKey: "k3"})
			return must(err, r.Rows == 2 && r.Sequence == 8 && strings.HasSuffix(r.ETag, `.8.1"`))
		}, `change ts upsert NDJSON missing=1 if-match="\"x.1.1\"" idem={"k3" "POST\n/datasets/ts/rows\nmissing=null\napplication/x-ndjson"} body="{}" err=<nil>`},
		{"upsert of some columns", func() error {
			_, err := c.Upsert(ctx, ts(), body("{}"), client.ChangeOptions{MissingKeep: true})
			return err
		}, `change ts upsert NDJSON missing=3 if-match="" idem={"" ""} body="{}" err=<nil>`},
		{"delete", func() error { _, err := c.Delete(ctx, ts(), body("{}"), client.ChangeOptions{}); return err },
			`change ts delete NDJSON missing=0 if-match="" idem={"" ""} body="{}" err=<nil>`},
		{"changes", func() error { _, err := c.Changes(ctx, ts(), body("{}"), client.ChangeOptions{}); return err },
			`change ts changes NDJSON missing=0 if-match="" idem={"" ""} body="{}" err=<nil>`},
		{"sql", func() error {
			return drain(c.SQL(ctx, client.Query{SQL: "SELECT ?", Params: []any{1, "x"}, Timeout: 90e9, Format: rows.OutNDJSON}))
		}, `query "SELECT ?" params=[1,"x"] timeout=1m30s format=2`},
		{"get", func() error { return drain(c.Get(ctx, ts(), body("{}"), rows.OutArrow)) }, `get ts NDJSON "{}" out=4`},
		{"queries", func() error { l, err := c.Queries(ctx); return must(err, len(l) == 1) }, ""},
		{"cancel query", func() error { q, err := c.CancelQuery(ctx, "q-1"); return must(err, q.ID == "q-1") }, "cancel query q-1"},
		{"health", func() error { _, err := c.Health(ctx); return err }, ""},
		{"ready", func() error { return c.Ready(ctx) }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.call(); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(d.heard(), "\n"); got != test.want {
				t.Errorf("the lake heard %s\nwant %s", got, test.want)
			}
		})
	}
}

func must(err error, ok bool) error {
	if err == nil && !ok {
		err = lake.Errorf(lake.CodeInternal, "the answer is not what was sent")
	}
	return err
}

func drain(ans *client.Answer, err error) error {
	if err != nil {
		return err
	}
	defer ans.Close()
	_, err = io.Copy(io.Discard, ans)
	return must(err, ans.Tail().RowCount == 3)
}

// A key of any values reaches the lake so that splitting at commas and then
// decoding gives it back.
func TestRowKeyRoundTrip(t *testing.T) {
	d := newDoor()
	c := serve(t, d)
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "key")
		if strings.Contains(strings.Join(key, ","), "fail:") {
			t.Skip("a word that the test's lake listens to")
		}
		if _, _, err := c.Row(t.Context(), ts(), key...); err != nil {
			t.Fatal(err)
		}
		heard := strings.Join(d.heard(), "")
		var raw string
		if _, err := fmt.Sscanf(heard, "row ts %q", &raw); err != nil {
			t.Fatalf("%s: %v", heard, err)
		}
		parts := strings.Split(raw, ",")
		if len(parts) != len(key) {
			t.Fatalf("%d parts in %q, want %d", len(parts), raw, len(key))
		}
		for i := range parts {
			if got, err := url.PathUnescape(parts[i]); err != nil || got != key[i] {
				t.Fatalf("part %d is %q (%v), want %q", i, got, err, key[i])
			}
		}
	})
}
