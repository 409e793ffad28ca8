package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/walls"
)

// lakeOfOne is a lake with one dataset that has only pending changes.
type lakeOfOne struct {
	t       *testing.T
	dir     string
	uuid    string
	schema  lake.Schema
	deltas  []lake.Delta
	history *history
}

func newLakeOfOne(t *testing.T) *lakeOfOne {
	l := &lakeOfOne{t: t, dir: t.TempDir(), uuid: uuid.NewString()}
	l.schema = lake.Schema{Key: []string{"id"}, Columns: []lake.Column{
		{Name: "id", Type: lake.Type{Kind: lake.Bigint}},
		{Name: "v", Type: lake.Type{Kind: lake.Varchar}, Nullable: true}}}.WithFieldIDs()
	l.history = newHistory()
	l.history.stream = NewStream(l.replay)
	l.history.stream.Do(func() []lake.Entry { return []lake.Entry{l.publish()} })
	return l
}

func (l *lakeOfOne) publish() lake.Entry {
	return lake.Entry{Publish: &lake.Publish{TableUUID: l.uuid, Name: lake.Name{Namespace: "main", Dataset: "d"}, Schema: l.schema, Sequence: int64(len(l.deltas))}}
}

func (l *lakeOfOne) replay() []lake.Entry {
	out := []lake.Entry{l.publish()}
	if len(l.deltas) > 0 {
		out = append(out, lake.Entry{Apply: &lake.Apply{TableUUID: l.uuid, Deltas: append([]lake.Delta(nil), l.deltas...)}})
	}
	return out
}

// upsert makes one delta of rows id, id+1, … and gives the stream's end.
func (l *lakeOfOne) upsert(id, n int, v string) int64 {
	l.t.Helper()
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"v":%q}`, id+i, v))
	}
	dec, err := rows.Decode(context.Background(), rows.NDJSON, strings.NewReader(strings.Join(lines, "\n")), rows.DecodeOptions{Schema: l.schema})
	if err != nil {
		l.t.Fatal(err)
	}
	defer dec.Close()
	var changes []format.Changes
	for {
		rec, err := dec.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			l.t.Fatal(err)
		}
		changes = append(changes, format.Changes{Rows: rec, Ops: make([]uint8, rec.NumRows())})
	}
	return l.history.stream.Do(func() []lake.Entry {
		sequence := int64(len(l.deltas) + 1)
		b, err := format.EncodeDelta(format.DeltaHeader{FormatVersion: format.DeltaFormat, TableUUID: l.uuid, First: sequence, Sequence: sequence,
			UUID: uuid.NewString(), Epoch: 1, Time: time.Now().UTC()}, l.schema, changes)
		if err != nil {
			l.t.Error(err)
			return nil
		}
		path := filepath.Join(l.dir, fmt.Sprintf("%020d.parquet", sequence))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			l.t.Error(err)
			return nil
		}
		d := lake.Delta{Key: fmt.Sprintf("deltas/%s/%020d.parquet", l.uuid, sequence), Path: path, First: sequence, Sequence: sequence, Rows: int64(n), Bytes: int64(len(b))}
		l.deltas = append(l.deltas, d)
		return []lake.Entry{{Apply: &lake.Apply{TableUUID: l.uuid, Deltas: []lake.Delta{d}}}}
	})
}

// eachServing runs a test with real workers, in processes and inside.
func eachServing(t *testing.T, f func(t *testing.T, l *lakeOfOne, o Options)) {
	run := func(name string, o Options) {
		t.Run(name, func(t *testing.T) {
			l := newLakeOfOne(t)
			o.Log = testLog(t)
			o.Open = Open{LakeDirs: []string{l.dir}, MemoryLimitBytes: 512 << 20, Threads: 2, MaxConcurrent: 8}
			f(t, l, o)
		})
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run("process", Options{Command: []string{exe}, Env: []string{roleVariable + "=serving"}})
	run("inside", Options{})
}

func TestServing(t *testing.T) {
	eachServing(t, func(t *testing.T, l *lakeOfOne, o Options) {
		s := start(t, o, l.history.stream)
		see := l.upsert(1, 3, "a")
		text, res, err := ask(t.Context(), s, QueryRequest{SQL: "SELECT id, v FROM d WHERE id >= ? ORDER BY id", Params: json.RawMessage(`[2]`), Format: rows.OutCSV, See: see})
		if err != nil {
			t.Fatal(err)
		}
		if strings.ReplaceAll(text, "\r", "") != "id,v\n2,a\n3,a\n" {
			t.Fatalf("%q", text)
		}
		if p := res.Head.ReadPoints["d"]; p.TableUUID != l.uuid || p.Sequence != 1 || res.Head.ServedFrom["d"] != lake.ServedFromParquet || res.Tail().RowCount != 2 {
			t.Fatalf("%+v", res.Head)
		}
		text, _, err = ask(t.Context(), s, QueryRequest{SQL: "SELECT v FROM d WHERE id = $id", Params: json.RawMessage(`{"id": 1}`), See: see})
		if err != nil || text != "{\"v\":\"a\"}\n" {
			t.Fatal(text, err)
		}
		text, _, err = ask(t.Context(), s, QueryRequest{See: see, Get: &Get{TableUUID: l.uuid, Format: rows.JSON, Keys: []byte(`[{"id":3},{"id":99}]`)}})
		if err != nil || text != "{\"id\":3,\"v\":\"a\"}\n" {
			t.Fatal(text, err)
		}
		for sql, want := range map[string]lake.Code{
			"SELECT * FROM nobody":                  lake.CodeDatasetNotFound,
			"SELECT * FROM d WHERE":                 lake.CodeSQLInvalid,
			"SELECT nothing FROM d":                 lake.CodeSQLInvalid,
			"DROP VIEW d":                           lake.CodeSQLRefused,
			"SELECT * FROM read_csv('/etc/passwd')": lake.CodeSQLRefused,
			"SELECT * FROM _tarn.datasets":          "",
		} {
			_, _, err := ask(t.Context(), s, QueryRequest{SQL: sql})
			if err == nil || want != "" && lake.CodeOf(err) != want {
				t.Errorf("%s: %v (%s)", sql, err, lake.CodeOf(err))
			}
		}
		_, _, err = ask(t.Context(), s, QueryRequest{SQL: "SELECT 1", Params: json.RawMessage(`7`)})
		code(t, err, lake.CodeInvalidRequest)
		_, _, err = ask(t.Context(), s, QueryRequest{SQL: "SELECT count(*) FROM range(100000000000) a, range(100000000) b", Deadline: time.Now().Add(150 * time.Millisecond)})
		code(t, err, lake.CodeDeadline)
		st, err := s.Status(t.Context())
		if err != nil || st.Applied != 2 || st.Heard != 2 || st.Datasets != 1 || len(st.Memory) == 0 {
			t.Fatalf("%+v %v", st, err)
		}
		if got := s.Released(t.Context()); got != 2 {
			t.Fatalf("released %d", got)
		}
		if st := s.Stats(); st.Restarts != 0 {
			t.Fatalf("%+v", st)
		}
	})
}

// Kills while eight clients query and one writes: a change that was told before
// a query is in its answer, whichever worker gives it. (I1, I2)
func TestServingKills(t *testing.T) {
	eachServing(t, func(t *testing.T, l *lakeOfOne, o Options) {
		s := start(t, o, l.history.stream)
		l.upsert(0, 100, "first")
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				see := l.upsert(1000+i, 1, "w")
				text, _, err := ask(context.Background(), s, QueryRequest{See: see, SQL: "SELECT count(*) AS n FROM d", Format: rows.OutNDJSON})
				if want := fmt.Sprintf("{\"n\":%d}\n", 101+i); err != nil || text != want {
					t.Errorf("after write %d: %q, %v", i, text, err)
					return
				}
			}
		})
		killUnderClients(t, s, 3, func(client int) string {
			return fmt.Sprintf("SELECT count(*), %d AS client FROM d WHERE id < 100", client)
		})
		close(stop)
		wg.Wait()
	})
}

// A query that no interrupt reaches does not keep the others, nor the worker's
// end.
func TestServingHang(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l := newLakeOfOne(t)
	l.upsert(0, 10, "x")
	s := start(t, Options{
		Command: []string{exe}, Env: []string{roleVariable + "=serving"}, Log: testLog(t), Grace: 300 * time.Millisecond,
		Open: Open{LakeDirs: []string{l.dir}, MemoryLimitBytes: 512 << 20, Threads: 2, MaxConcurrent: 4},
	}, l.history.stream)
	_, _, err = ask(t.Context(), s, QueryRequest{SQL: "SELECT levenshtein(repeat('ab', 100000), repeat('ba', 100000))", Deadline: time.Now().Add(100 * time.Millisecond)})
	if c := lake.CodeOf(err); c != lake.CodeDeadline {
		t.Fatalf("%v (%s)", err, c)
	}
	for s.Generation() < 2 {
		time.Sleep(time.Millisecond)
	}
	if text, _, err := ask(t.Context(), s, QueryRequest{SQL: "SELECT count(*) AS n FROM d"}); err != nil || text != "{\"n\":10}\n" {
		t.Fatal(text, err)
	}
}

// A query that takes memory outside DuckDB's own limit ends as an error, of its
// own or of its worker; the server and the next query do not feel it.
func TestServingMemoryBomb(t *testing.T) {
	if walls.RaceDetector {
		t.Skip("the race detector's shadow memory cannot be limited")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l := newLakeOfOne(t)
	l.upsert(0, 10, "x")
	s := start(t, Options{
		Command: []string{exe}, Env: []string{roleVariable + "=serving"}, Log: testLog(t),
		Open: Open{LakeDirs: []string{l.dir}, MemoryLimitBytes: 256 << 20, Threads: 2, MaxConcurrent: 4},
	}, l.history.stream)
	_, _, err = ask(t.Context(), s, QueryRequest{SQL: "SELECT len(list_resize([1], 300000000))"})
	if c := lake.CodeOf(err); err == nil || c != lake.CodeOutOfMemory && c != lake.CodeWorkerDied {
		t.Errorf("%v (%s)", err, c)
	}
	if text, _, err := ask(t.Context(), s, QueryRequest{SQL: "SELECT count(*) AS n FROM d"}); err != nil || text != "{\"n\":10}\n" {
		t.Fatal(text, err)
	}
}
