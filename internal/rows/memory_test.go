package rows_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"

	"tarn/internal/rows"
)

// endless is a body of n rows that is never in memory as a whole.
type endless struct {
	before, row, between, after string
	n                           int
	sent                        int64
	next                        []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.next) == 0 {
		switch {
		case e.n < 0:
			return 0, io.EOF
		case e.n == 0:
			e.next = append(e.next, e.after...)
		default:
			e.next = append(append(e.next[:0], e.before...), e.row...)
			if e.before = ""; e.n > 1 {
				e.next = append(e.next, e.between...)
			}
		}
		e.n--
	}
	n := copy(p, e.next)
	e.next = append(e.next[:0], e.next[n:]...)
	e.sent += int64(n)
	return n, nil
}

// The memory that a body takes does not grow with its length.
func TestLongBodiesTakeLittleMemory(t *testing.T) {
	s := schema(t, "a BIGINT", "b VARCHAR")
	const n = 150_000
	text := fmt.Sprintf("%0200d", 7)
	object := `{"a":1,"b":"` + text + `"}`
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	for f, body := range map[rows.Format]*endless{
		rows.JSON:   {before: "[", row: object, between: ",", after: "]"},
		rows.NDJSON: {row: object, between: "\n", after: "\n"},
		rows.CSV:    {before: "a,b\n", row: "1," + text, between: "\n", after: "\n"},
	} {
		body.n = n
		d, err := rows.Decode(context.Background(), f, body, rows.DecodeOptions{Schema: s, BatchRows: 512})
		if err != nil {
			t.Fatal(err)
		}
		var most uint64
		for i := 0; ; i++ {
			rec, err := d.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			rec.Release()
			if i%30 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
		d.Close()
		if d.Rows() != n || body.sent < 28<<20 {
			t.Fatalf("%s: %d rows, %d bytes", f, d.Rows(), body.sent)
		}
		if most > before+4<<20 {
			t.Errorf("%s: %d bytes of heap for a body of %d", f, most-before, body.sent)
		}
	}
}
