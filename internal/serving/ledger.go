package serving

import (
	"context"
	"math"
	"slices"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// size is the bytes of one owner of memory in the serving database: measured as
// of the last settling, and fresh: what it added since by its own account.
// unsettled is all that it added since the last CHECKPOINT, which compresses it,
// and last what it had added until then. open is the blocks among it that were
// opened for appends: these go back whole.
// What a slice of a load adds by that account is a guess, by far: guess says so.
type size struct {
	measured, fresh, unsettled, last, open int64

	guess bool
}

// append notes rows that were appended, and the blocks that this opened.
func (s *size) append(rows, blocks int64) {
	s.fresh += rows + blocks
	s.open += blocks
}

func (s *size) bytes() int64 { return max(s.measured+s.fresh, 0) }

// opened says whether rows were appended to a table since the last CHECKPOINT.
// DuckDB gives a table that is appended to a block for the values and one for
// the validity of each column, however few the rows, and takes them back when
// it compresses.
type opened bool

const blockBytes = 256 << 10

// open notes an append to a table of these columns and some more, and gives the
// bytes of the blocks that it opens.
func (o *opened) open(columns []lake.Column, more int) int64 {
	if *o {
		return 0
	}
	*o = true
	return openBytes(columns, more)
}

func openBytes(columns []lake.Column, more int) int64 {
	n := more
	var count func(cols []lake.Column)
	count = func(cols []lake.Column) {
		n += len(cols)
		for _, c := range cols {
			count(c.Type.Fields)
		}
	}
	count(columns)
	return 2 * blockBytes * int64(n)
}

// ledger knows whose the bytes are that DuckDB holds for tables. DuckDB says
// their sum only; the publisher is the one writer, so the difference that a step
// makes belongs to what the step changed. Where one step changed several, or a
// CHECKPOINT compressed several, they share by what each added. What belongs to
// no image (tails, the list of datasets, tables of running queries) is other.
//
// Dropped images that a reader may still see are held until the last reader has
// ended that began before the drop.
type ledger struct {
	budget int64
	other  size
	list   opened // the table of datasets
	owed   int64  // blocks that the last CHECKPOINT let go of and readers still hold
	held   []heldImage
}

type heldImage struct {
	bytes  int64
	before int64 // readers with a lower ticket hold it
}

// measureTables gives the bytes that DuckDB holds for tables in memory: their
// blocks, and what it remembers of deleted rows.
func measureTables(ctx context.Context, c *duck.Conn) (int64, error) {
	rows, err := c.Rows(ctx, "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory() WHERE tag IN ('IN_MEMORY_TABLE', 'BASE_TABLE')")
	if err != nil {
		return 0, err
	}
	return rows[0][0].(int64), nil
}

// settle shares the difference between the books and what was measured.
// compressed says that a CHECKPOINT was the step. What went without any step is
// what that CHECKPOINT left to the end of readers.
func (l *ledger) settle(measured int64, images []*image, compressed bool) {
	sizes := []*size{&l.other}
	for _, m := range images {
		sizes = append(sizes, &m.sized)
	}
	diff := measured - l.heldBytes()
	fresh := int64(0)
	for _, s := range sizes {
		diff -= s.measured
		fresh += s.fresh
	}
	switch {
	case compressed:
		var bytes int64
		bytes, l.owed = closed(sizes, -diff)
		diff += bytes
	case fresh == 0 && diff < 0:
		l.owed = max(0, l.owed+diff)
	}
	weight := func(s *size) int64 {
		switch {
		case compressed:
			return max(s.unsettled+s.fresh-s.open, 0)
		case fresh == 0 && diff < 0:
			return s.last
		default:
			return s.fresh
		}
	}
	var weights int64
	for _, s := range sizes {
		weights += weight(s)
	}
	rest := diff
	for _, s := range sizes {
		if weights > 0 {
			part := int64(float64(diff) * (float64(weight(s)) / float64(weights)))
			part = min(max(part, -s.measured), s.most(compressed))
			s.measured += part
			rest -= part
			if s.fresh > 0 && !compressed { // it was a guess
				s.fresh = max(part, 1)
			}
		}
		s.unsettled, s.fresh = s.unsettled+s.fresh, 0
		if compressed {
			s.unsettled, s.last, s.open = 0, s.unsettled, 0
		}
		s.guess = false
	}
	l.other.measured += rest
	if rest > 0 && !compressed { // nobody's: what a CHECKPOINT may take back
		l.other.unsettled += rest
	}
}

// most is what a step can have added at most: what it says, unless that is a guess. What
// is there beside, a transaction's own blocks for one, is nobody's and goes again.
func (s *size) most(compressed bool) int64 {
	switch {
	case compressed:
		return 0
	case s.guess:
		return math.MaxInt64
	default:
		return max(s.fresh, 0)
	}
}

// closed takes the blocks that a CHECKPOINT gave back whole off their owners, at most
// as many bytes as it gave back in all. It says how many that were, and how many are
// owed.
func closed(sizes []*size, gave int64) (bytes, owed int64) {
	open := int64(0)
	for _, s := range sizes {
		open += min(s.open, s.measured)
	}
	if open <= 0 || gave <= 0 {
		return 0, open
	}
	share := min(1, float64(gave)/float64(open))
	for _, s := range sizes {
		n := int64(share * float64(min(s.open, s.measured)))
		s.measured -= n
		bytes += n
	}
	return bytes, open - bytes
}

// drop moves an image's bytes to what readers may still hold.
func (l *ledger) drop(m *image, ticket int64) {
	if b := m.sized.bytes(); b > 0 {
		l.held = append(l.held, heldImage{b, ticket})
	}
	m.sized = size{}
}

// release lets go of what no reader holds any more; oldest is the lowest ticket
// among the running ones.
func (l *ledger) release(oldest int64) {
	l.held = slices.DeleteFunc(l.held, func(h heldImage) bool { return h.before <= oldest })
}

func (l *ledger) heldBytes() (n int64) {
	for _, h := range l.held {
		n += h.bytes
	}
	return n
}

// used is what counts against the budget.
func (l *ledger) used(images []*image) int64 {
	n := l.heldBytes()
	for _, m := range images {
		n += m.bytes()
	}
	return n
}
