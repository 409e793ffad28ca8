package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"tarn/internal/duck"
	"tarn/internal/engine"
	"tarn/internal/rows"
)

// plain is DuckDB alone, with tables of its own: what answers are held against,
// and what writes files as any client might.
type plain struct {
	t     testing.TB
	c     *duck.Conn
	dir   string
	files int
}

func newPlain(t testing.TB) *plain {
	t.Helper()
	dir := t.TempDir()
	db, err := duck.Open(t.Context(), duck.Options{Scratch: filepath.Join(dir, "scratch"), Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		db.Close()
	})
	return &plain{t: t, c: c, dir: dir}
}

func (p *plain) exec(format string, args ...any) {
	p.t.Helper()
	sql := fmt.Sprintf(format, args...)
	if err := p.c.Exec(p.t.Context(), sql); err != nil {
		p.t.Fatalf("plain DuckDB: %s: %v", sql, err)
	}
}

// texts gives the one column of a query.
func (p *plain) texts(format string, args ...any) []string {
	p.t.Helper()
	sql := fmt.Sprintf(format, args...)
	found, err := p.c.Rows(p.t.Context(), sql)
	if err != nil {
		p.t.Fatalf("plain DuckDB: %s: %v", sql, err)
	}
	out := make([]string, len(found))
	for i, row := range found {
		out[i] = fmt.Sprint(row[0])
	}
	return out
}

// stream runs a query and hands it to use.
func (p *plain) stream(sql string, use func(*duck.Stream) error) {
	p.t.Helper()
	s, err := p.c.Query(p.t.Context(), sql, duck.Params{})
	if err == nil {
		err = use(s)
		s.Close()
	}
	if err != nil {
		p.t.Fatalf("plain DuckDB: %s: %v", sql, err)
	}
}

// answer is the answer of plain DuckDB.
func (p *plain) answer(sql string) answer {
	p.t.Helper()
	a, err := p.tryAnswer(sql)
	if err != nil {
		p.t.Fatalf("plain DuckDB: %s: %v", sql, err)
	}
	return a
}

// outcome is the number of rows that a statement changed, or those that it returned.
func (p *plain) outcome(sql string, returns bool) (string, error) {
	a, err := p.tryAnswer(sql)
	if err != nil || returns {
		return outcomeOf(a), err
	}
	return fmt.Sprint(a.Rows[0][0]), nil
}

func (p *plain) tryAnswer(sql string) (a answer, err error) {
	var b bytes.Buffer
	s, err := p.c.Query(p.t.Context(), sql, duck.Params{})
	if err != nil {
		return a, err
	}
	defer s.Close()
	err = func() error {
		columns := make([]rows.Column, len(s.Columns()))
		for i, c := range s.Columns() {
			columns[i] = rows.Column{Name: c.Name, Type: c.Type}
		}
		e := rows.NewEncoder(rows.OutJSON, &b)
		if err := e.Begin(columns, s.Schema(), rows.Head{}); err != nil {
			return err
		}
		for {
			rec, err := s.Next(p.t.Context())
			if errors.Is(err, io.EOF) {
				return e.End(rows.Tail{})
			}
			if err == nil {
				err = e.Write(rec)
				rec.Release()
			}
			if err != nil {
				return err
			}
		}
	}()
	if err != nil {
		return a, err
	}
	return readAnswer(&b)
}

// arrowStream is a query's result as an Arrow IPC stream.
func (p *plain) arrowStream(sql string) []byte {
	p.t.Helper()
	var b bytes.Buffer
	p.stream(sql, func(s *duck.Stream) error {
		w := ipc.NewWriter(&b, ipc.WithSchema(s.Schema()))
		for {
			rec, err := s.Next(p.t.Context())
			if errors.Is(err, io.EOF) {
				return w.Close()
			}
			if err == nil {
				err = w.Write(rec)
				rec.Release()
			}
			if err != nil {
				return err
			}
		}
	})
	return b.Bytes()
}

// body is a query's result as the body of a request.
func (p *plain) body(f rows.Format, sql string) []byte {
	p.t.Helper()
	options := map[rows.Format]string{
		rows.JSON: "json, ARRAY true", rows.NDJSON: "json", rows.CSV: "csv, HEADER", rows.Parquet: "parquet",
	}
	if f == rows.ArrowStream {
		return p.arrowStream(sql)
	}
	p.files++
	path := filepath.Join(p.dir, strconv.Itoa(p.files))
	p.exec("COPY (%s) TO '%s' (FORMAT %s)", sql, path, options[f])
	return readFile(p.t, path)
}

// answer is a JSON answer, numbers as they are written.
type answer struct {
	Columns []rows.Column `json:"columns"`
	Rows    [][]any       `json:"rows"`
}

func readAnswer(r io.Reader) (a answer, err error) {
	d := json.NewDecoder(r)
	d.UseNumber()
	return a, d.Decode(&a)
}

// answer is the answer of tarn.
func (o *opened) answer(sql string) (answer, error) {
	a, err := o.Query(context.Background(), engine.QueryRequest{SQL: sql, Format: rows.OutJSON})
	if err != nil {
		return answer{}, err
	}
	defer a.Body.Close()
	return readAnswer(a.Body)
}

// differs says how an answer is not the one wanted, "" where it is the same:
// names and types, and the same rows, in the same order where ordered. Floating
// values may be off by rounding, as their sums depend on the order.
func (a answer) differs(want answer, ordered bool) string {
	if !slices.Equal(a.Columns, want.Columns) {
		return fmt.Sprintf("columns %v, want %v", a.Columns, want.Columns)
	}
	if len(a.Rows) != len(want.Rows) {
		return fmt.Sprintf("%d rows, want %d", len(a.Rows), len(want.Rows))
	}
	got, expected := a.Rows, want.Rows
	if !ordered {
		got, expected = sortedRows(a), sortedRows(want)
	}
	for i := range got {
		for c := range got[i] {
			if !sameValue(got[i][c], expected[i][c], floating(want.Columns[c].Type)) {
				return fmt.Sprintf("row %d, column %s:\n got %v\nwant %v", i, want.Columns[c].Name, got[i], expected[i])
			}
		}
	}
	return ""
}

func floating(typ string) bool {
	return strings.Contains(typ, "DOUBLE") || strings.Contains(typ, "FLOAT")
}

// sortedRows orders the rows by all that is exact, then by the rest.
func sortedRows(a answer) [][]any {
	type sortable struct {
		by  string
		row []any
	}
	keyed := make([]sortable, len(a.Rows))
	for i, row := range a.Rows {
		var exact, rest strings.Builder
		for c, v := range row {
			if floating(a.Columns[c].Type) {
				fmt.Fprintf(&rest, "%.20v|", v)
			} else {
				fmt.Fprintf(&exact, "%v|", v)
			}
		}
		keyed[i] = sortable{exact.String() + rest.String(), row}
	}
	slices.SortFunc(keyed, func(x, y sortable) int { return strings.Compare(x.by, y.by) })
	out := make([][]any, len(keyed))
	for i := range keyed {
		out[i] = keyed[i].row
	}
	return out
}

func sameValue(got, want any, rounding bool) bool {
	switch want := want.(type) {
	case json.Number:
		g, ok := got.(json.Number)
		return ok && (g == want || rounding && nearly(g, want))
	case []any:
		g, ok := got.([]any)
		return ok && slices.EqualFunc(g, want, func(x, y any) bool { return sameValue(x, y, rounding) })
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(want) {
			return false
		}
		for k, v := range want {
			if x, has := g[k]; !has || !sameValue(x, v, rounding) {
				return false
			}
		}
		return true
	}
	return got == want
}

func nearly(a, b json.Number) bool {
	x, errX := a.Float64()
	y, errY := b.Float64()
	return errX == nil && errY == nil && math.Abs(x-y) <= 1e-9*max(math.Abs(x), math.Abs(y), 1e-9)
}
