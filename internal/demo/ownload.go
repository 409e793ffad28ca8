package demo

import (
	"context"
	"fmt"

	"tarn/internal/lake"
)

// ownLoad writes somebody's own rows. With a key, each writer has some rows of
// the sample to itself, deletes them all in one request and puts them back in
// the next; without one, each request appends a row of the sample.
type ownLoad struct {
	d      *ownDataset
	sample []map[string]any
}

func newOwnLoad(d *ownDataset, sample []map[string]any) *ownLoad {
	return &ownLoad{d: d, sample: sample}
}

func (l *ownLoad) dataset() string { return l.d.name }
func (l *ownLoad) keyed() bool     { return l.d.key != nil }

// rowsAWriter is how many rows each writer has to itself.
const rowsAWriter = 5

// writers is how many the sample has rows for.
func (l *ownLoad) writers(most int) int {
	if !l.keyed() {
		return most
	}
	return min(most, (len(l.sample)+rowsAWriter-1)/rowsAWriter)
}

func (l *ownLoad) share(writer int) []map[string]any {
	from := min(writer*rowsAWriter, len(l.sample))
	return l.sample[from:min(from+rowsAWriter, len(l.sample))]
}

func (l *ownLoad) request(writer, n int) []byte {
	if !l.keyed() {
		return ndjson([]any{l.sample[(writer+n)%len(l.sample)]})
	}
	mine := l.share(writer)
	var lines []any
	for i, row := range mine {
		if n%2 == 0 {
			lines = append(lines, map[string]any{"op": "delete", "key": keysOf(mine, l.d.key)[i]})
		} else {
			lines = append(lines, map[string]any{"op": "upsert", "row": row})
		}
	}
	return ndjson(lines)
}

// left is how many rows of a writer are there after n requests.
func (l *ownLoad) left(writer, n int) int64 {
	if n%2 == 1 {
		return 0
	}
	return int64(len(l.share(writer)))
}

func (l *ownLoad) check(ctx context.Context, t *tour, acked []int, settled bool) error {
	a, err := t.lake.ask(ctx, "select count(*) from "+lake.QuoteIdent(l.d.name))
	if err != nil {
		return err
	}
	got, err := integer(a.rows[0][0])
	if err != nil {
		return err
	}
	if !l.keyed() {
		want := l.d.rows
		for _, n := range acked {
			want += int64(n)
		}
		if settled {
			t.equal("rows in all, each request in exactly once", got, want)
			return nil
		}
		t.check(got >= want && got <= want+int64(len(acked)), "%s rows: all %s of acknowledged requests, and at most the %d in flight", count(got), count(want), len(acked))
		return nil
	}
	requests, wrong, there := 0, 0, int64(0)
	for w, n := range acked {
		requests += n
		rows, err := l.find(ctx, t, w)
		if err != nil {
			return err
		}
		there += rows
		if rows != l.left(w, n) && (settled || rows != l.left(w, n+1)) {
			wrong++
		}
	}
	t.check(wrong == 0, "the rows of every writer are as its acknowledged requests left them (%s requests), those in flight in whole or not at all", count(int64(requests)))
	t.equal("rows in all", got, l.d.rows-int64(min(len(acked)*rowsAWriter, len(l.sample)))+there)
	return nil
}

// find counts the rows of a writer that are there.
func (l *ownLoad) find(ctx context.Context, t *tour, writer int) (int64, error) {
	keys := keysOf(l.share(writer), l.d.key)
	if len(keys) == 0 {
		return 0, nil
	}
	found, err := t.lake.get(ctx, l.d.name, ndjsonOf(keys))
	if err != nil {
		return 0, fmt.Errorf("get the rows of writer %d: %w", writer, err)
	}
	return found, nil
}
