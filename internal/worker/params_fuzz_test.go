//go:build duckdb_arrow

package worker

import (
	"encoding/json"
	"testing"

	"tarn/internal/duck"
	"tarn/internal/keyread"
	"tarn/internal/lake"
)

// FuzzParams binds whatever a client sends as params: it runs, or is an error that is
// the client's.
func FuzzParams(f *testing.F) {
	for _, s := range []string{`[1]`, `["a"]`, `{"a":1}`, `[null]`, `[[1,"a"]]`, `[{"x":[1,2]}]`, `[1e400]`, `[123456789012345678901234567890123456789012]`, `[1.50]`, `[-0]`, `["\u0000"]`, `["\ud800"]`,
		`[[]]`, `[{}]`, `[true]`, `[[[[]]]]`, `{"1":2}`, `{"a":1,"b":2}`, `[{"a":1,"A":2}]`, `[{"":1}]`, `null`, `x`, `[1,2]`, `[[1,null]]`, `[[1,1.5]]`, `[[{"a":1},{"b":2}]]`} {
		f.Add([]byte(s))
	}
	db, err := duck.Open(f.Context(), duck.Options{Scratch: f.TempDir(), Threads: 1, Lock: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(db.Close)
	c, err := db.Conn(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.Close)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := keyread.ParseParams(json.RawMessage(raw))
		if err == nil {
			for _, sql := range []string{"SELECT $1", "SELECT $a", "SELECT ?::VARCHAR"} {
				var s *duck.Stream
				if s, err = c.Query(t.Context(), sql, duck.Params(p)); err == nil {
					rec, nerr := s.Next(t.Context())
					if nerr == nil {
						rec.Release()
					}
					s.Close()
					err = nerr
				}
				if code := lake.CodeOf(err); err != nil && code != lake.CodeSQLInvalid && code != lake.CodeInvalidRequest {
					t.Errorf("%s with %q: %v (%s)", sql, raw, err, code)
				}
			}
			return
		}
		if lake.CodeOf(err) != lake.CodeInvalidRequest {
			t.Errorf("%q: %v", raw, err)
		}
	})
}
