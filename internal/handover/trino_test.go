package handover

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// fakeTrino answers with pages, each a JSON text in which NEXT is the URL of the one
// after; the first answers the statement.
type fakeTrino struct {
	*httptest.Server
	url   string
	pages []string
	hang  bool // the last page's successor does not come

	mu struct {
		sync.Mutex
		sql       string
		headers   http.Header
		cancelled int
	}
}

func newFakeTrino(t *testing.T, pages ...string) *fakeTrino {
	t.Helper()
	f := &fakeTrino{pages: pages}
	page := func(w http.ResponseWriter, r *http.Request, i int) {
		if i >= len(f.pages) {
			if f.hang {
				<-r.Context().Done()
			}
			panic(http.ErrAbortHandler) // cut
		}
		text := strings.ReplaceAll(f.pages[i], "NEXT", fmt.Sprintf(`"nextUri":"%s/v1/statement/executing/q1/%d"`, f.URL, i+1))
		if status, rest, ok := strings.Cut(text, " "); ok && len(status) == 3 {
			http.Error(w, rest, map[string]int{"401": 401, "500": 500, "503": 503}[status])
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, text)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/statement", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.mu.sql, f.mu.headers = string(text), r.Header
		f.mu.Unlock()
		page(w, r, 0)
	})
	mux.HandleFunc("GET /v1/statement/executing/q1/{page}", func(w http.ResponseWriter, r *http.Request) {
		var i int
		fmt.Sscan(r.PathValue("page"), &i)
		page(w, r, i)
	})
	mux.HandleFunc("DELETE /v1/query/q1", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		f.mu.cancelled++
		f.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	f.url = strings.Replace(f.URL, "http://", "http://me@", 1)
	return f
}

func (f *fakeTrino) connect(t *testing.T) Cluster {
	t.Helper()
	c, err := NewTrino(Options{TrinoURL: f.url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

const trinoBigint = `"columns":[{"name":"n","type":"bigint","typeSignature":{"rawType":"bigint","arguments":[]}}]`

const trinoBegun = `{"id":"q1",NEXT,"stats":{"state":"QUEUED"}}`

func TestTrinoFaults(t *testing.T) {
	failed := func(kind, name string) string {
		return fmt.Sprintf(`{"id":"q1","stats":{"state":"FAILED"},"error":{"message":"because","errorCode":1,"errorName":%q,"errorType":%q}}`, name, kind)
	}
	page := `{"id":"q1",NEXT,` + trinoBigint + `,"data":[[1],[2]],"stats":{}}`
	for name, c := range map[string]struct {
		pages []string
		code  lake.Code
		says  string
	}{
		"bad SQL":         {[]string{trinoBegun, failed("USER_ERROR", "SYNTAX_ERROR")}, lake.CodeSQLInvalid, "because (SYNTAX_ERROR)"},
		"no table":        {[]string{trinoBegun, failed("USER_ERROR", "TABLE_NOT_FOUND")}, lake.CodeEngineFailed, "does not find"},
		"no memory":       {[]string{trinoBegun, failed("INSUFFICIENT_RESOURCES", "EXCEEDED_GLOBAL_MEMORY_LIMIT")}, lake.CodeEngineFailed, "because"},
		"an error within": {[]string{trinoBegun, page, failed("EXTERNAL", "ICEBERG_CANNOT_OPEN_SPLIT")}, lake.CodeEngineFailed, "because"},
		"cancelled there": {[]string{trinoBegun, failed("USER_ERROR", "USER_CANCELLED")}, lake.CodeCancelled, "cancelled in Trino"},
		"not let in":      {[]string{"401 no"}, lake.CodeEngineUnavailable, "let tarn in"},
		"a broken proxy":  {[]string{"500 oh"}, lake.CodeEngineUnavailable, "does not answer"},
		"not JSON":        {[]string{trinoBegun, page, "<html>"}, lake.CodeEngineFailed, "cut"},
		"a cut page":      {[]string{trinoBegun, page, page[:40]}, lake.CodeEngineFailed, "cut"},
		"cut":             {[]string{trinoBegun, page}, lake.CodeEngineFailed, "cut"},
		"an unknown type": {[]string{trinoBegun, `{"id":"q1","columns":[{"name":"h","type":"HyperLogLog","typeSignature":{"rawType":"HyperLogLog","arguments":[]}}],"data":[["AA=="]],"stats":{}}`}, lake.CodeUnsupported, `column "h"`},
		"no number":       {[]string{trinoBegun, `{"id":"q1",` + trinoBigint + `,"data":[["x"]],"stats":{}}`}, lake.CodeEngineFailed, ""},
	} {
		f := newFakeTrino(t, c.pages...)
		if n, err := countRows(t.Context(), f.connect(t), Query{SQL: "SELECT 1"}); lake.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d, %v (%s), want %s %q", name, n, err, lake.CodeOf(err), c.code, c.says)
		}
	}
	c, err := NewTrino(Options{TrinoURL: "http://me@127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Query(t.Context(), Query{SQL: "SELECT 1"}); lake.CodeOf(err) != lake.CodeEngineUnavailable || !strings.Contains(lake.HintOf(err), "trino_url") {
		t.Errorf("nobody listens: %v", err)
	}
}

// TestTrinoAnswer: pages become batches, and a query says where its names are and what its
// parameters are.
func TestTrinoAnswer(t *testing.T) {
	page := func(next bool, values ...int) string {
		var data []string
		for _, v := range values {
			data = append(data, fmt.Sprintf("[%d]", v))
		}
		more := ""
		if next {
			more = "NEXT,"
		}
		return fmt.Sprintf(`{"id":"q1",%s%s,"data":[%s],"stats":{}}`, more, trinoBigint, strings.Join(data, ","))
	}
	f := newFakeTrino(t, trinoBegun, `{"id":"q1",NEXT,"stats":{}}`, page(true, 1, 2), page(true), page(false, 3))
	n, err := countRows(t.Context(), f.connect(t), Query{SQL: `SELECT n FROM d WHERE n < $1 AND 1 <> $1 AND x = $2`, Params: []byte(`[7, 1.50]`)})
	if err != nil || n != 3 {
		t.Fatalf("%d rows, %v", n, err)
	}
	if want := "EXECUTE IMMEDIATE 'SELECT n FROM d WHERE n < ? AND 1 <> ? AND x = ?' USING 7, 7, 1.50"; f.mu.sql != want {
		t.Errorf("asked %s", f.mu.sql)
	}
	for name, want := range map[string]string{"X-Trino-User": "me", "X-Trino-Catalog": "lake", "X-Trino-Schema": "main", "X-Trino-Time-Zone": "UTC", "X-Trino-Source": "tarn"} {
		if got := f.mu.headers.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	f = newFakeTrino(t, trinoBegun, `{"id":"q1",`+trinoBigint+`,"stats":{}}`)
	if n, err := countRows(t.Context(), f.connect(t), Query{SQL: "SELECT 1"}); err != nil || n != 0 {
		t.Errorf("an answer without rows: %d, %v", n, err)
	}
}

// TestTrinoCancel: the end of the context, and closing, end the query in Trino.
func TestTrinoCancel(t *testing.T) {
	page := `{"id":"q1",NEXT,` + trinoBigint + `,"data":[[1]],"stats":{}}`
	for _, how := range []string{"context", "close"} {
		f := newFakeTrino(t, trinoBegun, page)
		f.hang = true
		c := f.connect(t)
		ctx, cancel := context.WithCancel(t.Context())
		a, err := c.Query(ctx, Query{SQL: "SELECT 1"})
		if err != nil {
			t.Fatal(err)
		}
		if how == "context" {
			cancel()
			if _, err := a.Next(); lake.CodeOf(err) != lake.CodeCancelled {
				t.Errorf("after the end of the context: %v", err)
			}
		}
		a.Close()
		a.Close()
		cancel()
		if err := c.Close(); err != nil { // waits for the end
			t.Error(err)
		}
		f.mu.Lock()
		if f.mu.cancelled == 0 {
			t.Errorf("%s: it was not cancelled in Trino", how)
		}
		f.mu.Unlock()
	}
}

func TestTrinoTypes(t *testing.T) {
	for text, want := range map[string]string{
		"bigint": "BIGINT", "varchar(10)": "VARCHAR", "decimal(10,2)": "DECIMAL(10,2)", "timestamp(6)": "TIMESTAMP", "timestamp(9)": "TIMESTAMP_NS",
		"timestamp(6) with time zone": "TIMESTAMP WITH TIME ZONE", "uuid": "UUID", "unknown": `"NULL"`, "interval day to second": "INTERVAL", "time(6)": "TIME",
		"array(array(decimal(3, 1)))": "DECIMAL(3,1)[][]", "map(varchar, timestamp(3) with time zone)": "MAP(VARCHAR, TIMESTAMP WITH TIME ZONE)",
		`row("a b" bigint, c varchar(3), d row(e date))`: `STRUCT("a b" BIGINT, c VARCHAR, d STRUCT(e DATE))`, "row(integer, interval day to second)": "STRUCT(INTEGER, INTERVAL)",
	} {
		typ, err := parseTrinoType(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := typeSQL(typ); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "hyperloglog", "timestamp(12)", "timestamp(9) with time zone", "time(6) with time zone", "array(", "array()", "map(varchar)", "row(a", "decimal(x,y)", "bigint)", `row("a bigint)`} {
		if typ, err := parseTrinoType(text); lake.CodeOf(err) != lake.CodeUnsupported {
			t.Errorf("%q: %v, %v", text, typ, err)
		}
	}
}

// TestTrinoValues: values at the top and within others, as a client of tarn's gets them.
func TestTrinoValues(t *testing.T) {
	type column struct {
		typ, signature string
		value          string
		want           string
	}
	plain := func(typ, raw string, args ...string) string {
		return fmt.Sprintf(`{"rawType":%q,"arguments":[%s]}`, raw, strings.Join(args, ","))
	}
	long := func(n int) string { return fmt.Sprintf(`{"kind":"LONG","value":%d}`, n) }
	typed := func(s string) string { return `{"kind":"TYPE","value":` + s + `}` }
	var columns, values []string
	var want []string
	for i, c := range []column{
		{"boolean", plain("", "boolean"), "true", "true"},
		{"tinyint", plain("", "tinyint"), "-128", "-128"},
		{"real", plain("", "real"), `"NaN"`, `"NaN"`},
		{"double", plain("", "double"), "0.1", "0.1"},
		{"decimal(10,2)", plain("", "decimal", long(10), long(2)), `"-1.50"`, `"-1.50"`},
		{"varchar", plain("", "varchar", long(2147483647)), `"ü"`, `"ü"`},
		{"varbinary", plain("", "varbinary"), `"AAEC"`, `"AAEC"`},
		{"date", plain("", "date"), `"1969-12-31"`, `"1969-12-31"`},
		{"timestamp(6)", plain("", "timestamp", long(6)), `"2024-02-29 12:34:56.123456"`, `"2024-02-29T12:34:56.123456"`},
		{"timestamp(6) with time zone", plain("", "timestamp with time zone", long(6)), `"2024-02-29 12:34:56.123456 UTC"`, `"2024-02-29T12:34:56.123456Z"`},
		{"uuid", plain("", "uuid"), `"5c1d3f0e-8a3b-4c57-9f62-0d8f2f6f1a11"`, `"5c1d3f0e-8a3b-4c57-9f62-0d8f2f6f1a11"`},
		{"interval day to second", plain("", "interval day to second"), `"-1 00:00:01.500"`, ""},
		{"array(date)", plain("", "array", typed(plain("", "date"))), `["1969-12-31",null]`, `["1969-12-31",null]`},
		{"array(varbinary)", plain("", "array", typed(plain("", "varbinary"))), `["AAEC"]`, `["AAEC"]`},
		{"map(bigint,double)", plain("", "map", typed(plain("", "bigint")), typed(plain("", "double"))), `{"2":"Infinity","1":1.5}`, `[[1,1.5],[2,"Infinity"]]`},
		{"array(timestamp(3) with time zone)", plain("", "array", typed(plain("", "timestamp with time zone", long(3)))), `["2024-02-29 12:34:56.500 +02:00"]`, `["2024-02-29T10:34:56.500000Z"]`},
		{"bigint", plain("", "bigint"), "null", "null"},
	} {
		columns = append(columns, fmt.Sprintf(`{"name":"c%d","type":%q,"typeSignature":%s}`, i, c.typ, c.signature))
		values, want = append(values, c.value), append(want, c.want)
	}
	f := newFakeTrino(t, trinoBegun, fmt.Sprintf(`{"id":"q1","columns":[%s],"data":[[%s]],"stats":{}}`, strings.Join(columns, ","), strings.Join(values, ",")))
	a, err := f.connect(t).Query(t.Context(), Query{SQL: "SELECT 1"})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	rec, err := a.Next()
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	got := rowOf(t, rec)
	for i, w := range want {
		if w != "" && string(got[i]) != w {
			t.Errorf("%s: %s, want %s", columns[i], got[i], w)
		}
	}
}

// rowOf is the first row of a batch as a client gets it.
func rowOf(t *testing.T, rec arrow.RecordBatch) []json.RawMessage {
	t.Helper()
	var out strings.Builder
	columns, err := Columns(rec.Schema())
	if err != nil {
		t.Fatal(err)
	}
	enc := rows.NewEncoder(rows.OutJSON, &out)
	for _, step := range []func() error{
		func() error { return enc.Begin(columns, rec.Schema(), rows.Head{}) }, func() error { return enc.Write(rec) }, func() error { return enc.End(rows.Tail{}) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	var answer struct{ Rows [][]json.RawMessage }
	if err := json.Unmarshal([]byte(out.String()), &answer); err != nil {
		t.Fatalf("%s: %v", out.String(), err)
	}
	return answer.Rows[0]
}
