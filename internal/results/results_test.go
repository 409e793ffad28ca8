package results

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

func always(rows.Head) bool { return true }

func headOf(uuids ...string) rows.Head {
	h := rows.Head{ReadPoints: map[string]lake.Place{}, Repeatable: true}
	for _, u := range uuids {
		h.ReadPoints["name of "+u] = lake.Place{ReadPoint: lake.ReadPoint{TableUUID: u, Sequence: 1}}
	}
	return h
}

// record passes a body through the cache as an answer that streams.
func record(t *testing.T, c *Cache, q Question, f rows.OutFormat, head rows.Head, body io.Reader) string {
	t.Helper()
	r := c.Record(q, f, "text/x", head, io.NopCloser(body), func() rows.Tail { return rows.Tail{RowCount: 3} })
	got, err := io.ReadAll(r)
	if err != nil && !errors.Is(err, iotest.ErrTimeout) {
		t.Fatal(err)
	}
	return string(got)
}

func TestQuestionsThatAreOne(t *testing.T) {
	q := func(sql, params string) Question { return NewQuestion(sql, []byte(params), rows.OutJSON, nil) }
	one := q("select a from t where b = 'x  y'", `[1]`)
	for _, same := range []Question{
		q("  select a\n\tfrom t where b = 'x  y' ;; ", `[1]`), q("select a from t where b = 'x  y'", ` [ 1 ] `),
	} {
		if same != one {
			t.Errorf("%q is not %q", same, one)
		}
	}
	for _, other := range []Question{
		q("select a from t where b = 'x y'", `[1]`), q("select A from t where b = 'x  y'", `[1]`),
		q("select a from t where b = 'x  y'", `[1.0]`), q("select a from t where b = 'x  y'", ``),
		q("select a from t where b = 'x  y' -- c", `[1]`), NewQuestion("select a from t where b = 'x  y'", []byte(`[1]`), rows.OutCSV, nil),
		NewQuestion("select a from t where b = 'x  y'", []byte(`[1]`), rows.OutJSON, lake.NewNameSet()),
	} {
		if other == one {
			t.Errorf("%q is another question", other)
		}
	}
	for _, pair := range [][2]string{
		{`select "a  b" from t`, `select "a b" from t`},
		{`select 'it''s  so'`, `select 'it''s so'`},
		{`select $$a  b$$`, `select $$a b$$`},
		{`select e'\'  '`, `select e'\' '`},
		{"select 1 -- a\n, 2", "select 1 -- a , 2"},
		{"select 1 /* a  */", "select 1 /* a */"},
		{"select 'open  ", "select 'open "},
	} {
		if q(pair[0], "") == q(pair[1], "") {
			t.Errorf("%q and %q are two questions", pair[0], pair[1])
		}
	}
}

func TestAnAnswerIsGivenAgainWhileItIsCurrent(t *testing.T) {
	c := New(1 << 20)
	body := "{\"rows\":[\n[\"],\\\"row_count\\\":7\"]\n"
	if got := record(t, c, "q", rows.OutJSON, headOf("u"), iotest.OneByteReader(strings.NewReader(body+`],"row_count":3,"elapsed_ms":1.500}`+"\n"))); !strings.HasPrefix(got, body) {
		t.Fatalf("%q was passed on", got)
	}
	e := c.Get("q", always)
	if e == nil || string(e.Body) != body || e.RowCount != 3 || e.ContentType != "text/x" {
		t.Fatalf("%+v", e)
	}
	if c.Get("other", always) != nil {
		t.Fatal("another question has no answer")
	}
	if c.Get("q", func(h rows.Head) bool { return h.ReadPoints["name of u"].Sequence == 2 }) != nil {
		t.Fatal("it is not current")
	}
	if c.Get("q", always) != nil {
		t.Fatal("what is not current goes")
	}
	if s := c.Stats(); s.UsedBytes != 0 || s.Entries != 0 || s.Hits != 1 || s.Misses != 3 {
		t.Fatalf("%+v", s)
	}
}

func TestWhatIsNotKept(t *testing.T) {
	volatile, none := headOf("u"), headOf()
	volatile.Repeatable = false
	for name, put := range map[string]func(c *Cache){
		"volatile":   func(c *Cache) { record(t, c, "q", rows.OutCSV, volatile, strings.NewReader("a")) },
		"no dataset": func(c *Cache) { record(t, c, "q", rows.OutCSV, none, strings.NewReader("a")) },
		"too large":  func(c *Cache) { record(t, c, "q", rows.OutCSV, headOf("u"), bytes.NewReader(make([]byte, 1<<17))) },
		"broken": func(c *Cache) {
			record(t, c, "q", rows.OutCSV, headOf("u"), iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("abc"))))
		},
		"without end": func(c *Cache) { record(t, c, "q", rows.OutJSON, headOf("u"), strings.NewReader(`{"rows":[`)) },
		"not read to its end": func(c *Cache) {
			r := c.Record("q", rows.OutCSV, "", headOf("u"), io.NopCloser(strings.NewReader("abc")), nil)
			if _, err := r.Read(make([]byte, 2)); err != nil {
				t.Fatal(err)
			}
			r.Close()
		},
	} {
		c := New(1 << 20)
		put(c)
		if c.Get("q", always) != nil || c.Stats().UsedBytes != 0 {
			t.Errorf("%s: it was kept", name)
		}
	}
	c := New(0)
	record(t, c, "q", rows.OutCSV, headOf("u"), strings.NewReader("a"))
	if c.Enabled() || c.Get("q", always) != nil {
		t.Error("no budget keeps nothing")
	}
}

func TestTheBudgetOfAnswers(t *testing.T) {
	c := New(64 << 10)
	put := func(i int) {
		record(t, c, Question(fmt.Sprint(i)), rows.OutCSV, headOf("u", fmt.Sprint("u", i)), bytes.NewReader(make([]byte, 2000)))
	}
	for i := range 100 {
		put(i)
		if c.Get("0", always) == nil {
			t.Fatalf("what is in use went after %d", i)
		}
		if s := c.Stats(); s.UsedBytes > s.BudgetBytes || s.UsedBytes < int64(s.Entries)*2000 {
			t.Fatalf("%+v", s)
		}
	}
	if c.Get("1", always) != nil || c.Get("99", always) == nil {
		t.Fatal("the least recently used goes first")
	}
	put(99)
	before := c.Stats()
	c.Forget("u99")
	if s := c.Stats(); s.Entries != before.Entries-1 || c.Get("99", always) != nil {
		t.Fatalf("%+v", s)
	}
	c.Forget("u")
	if s := c.Stats(); s.Entries != 0 || s.UsedBytes != 0 {
		t.Fatalf("%+v", s)
	}
}
