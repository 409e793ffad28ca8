package serving

import (
	"time"

	"tarn/internal/lake"
)

// slackBytes is what a projection adds for the blocks that are part full.
const slackBytes = 64 << 10

// projected is what the whole image will take, by what its rows took so far; 0
// before the first.
func (l *load) projected() int64 {
	if l.image.counts.rows == 0 {
		return 0
	}
	pending := int64(0)
	for _, d := range l.deltas {
		pending += d.Rows
	}
	n := int64(float64(l.image.bytes())/float64(l.image.counts.rows)*float64(l.total+pending)) + slackBytes
	if pending > 0 {
		n += openBytes(l.image.schema.Columns, len(l.image.codes))
	}
	return n
}

// estimate is what it will take by the size of its files, before any row tells.
func (l *load) estimate() int64 {
	n := int64(slackBytes)
	for _, s := range l.slices {
		n += s.bytes
	}
	for _, d := range l.deltas {
		n += 2 * d.Bytes
	}
	if len(l.deltas) > 0 {
		n += openBytes(l.image.schema.Columns, len(l.image.codes))
	}
	return n
}

// fits says whether a slice may be taken: the first by what the image took before, or
// else by the size of its files, the others by what the rows before took. Where a
// reader that is older than the table would keep the slice from being compressed, it
// is taken as it is or waits.
func (p *publisher) fits(l *load, s slice) (wait bool, err error) {
	need := s.bytes
	if l.d.measured > 0 && l.total > 0 {
		need = int64(float64(l.d.measured) * float64(s.rows) / float64(l.total))
	}
	if n := l.image.counts.rows; n > 0 {
		need = int64(float64(l.image.bytes()) / float64(n) * float64(s.rows))
	}
	if p.used()+need+slackBytes > p.ledger.budget {
		return false, p.tooLarge(l)
	}
	// Far too large already: not worth the rest.
	if all := l.projected(); all > 0 && all-l.image.bytes() > (p.ledger.budget-p.used())*5/4 {
		return false, p.tooLarge(l)
	}
	if p.readers.oldestTicket() < l.ticket && p.used()+looseBytes(l.image.schema, len(l.image.codes), s.rows)+slackBytes > p.ledger.budget {
		now := time.Now()
		if l.readersTill.IsZero() {
			l.readersTill = now.Add(readersPatience)
		}
		if now.After(l.readersTill) {
			return false, lake.Errorf(lake.CodeOutOfMemory, "the image of %s does not fit: older queries keep its rows from being compressed", l.d.name).
				WithHint("try again when long queries have ended")
		}
		l.retryAt = now.Add(checkpointRetry)
		return true, nil
	}
	l.readersTill = time.Time{}
	return false, nil
}

// readersPatience is how long a load waits for readers that are older than its table.
const readersPatience = 10 * time.Second

// groupRows is how many rows share the blocks of a table's columns: DuckDB's row group.
// Of each column the first rows, as many as a vector has, have a place of their size,
// and what comes after has whole blocks.
const (
	groupRows  = 122880
	vectorRows = 2048
)

// looseBytes is about what rows take before they are compressed: of each row group those
// of the values of each column, and of which of them are null.
func looseBytes(s lake.Schema, codes int, rows int64) int64 {
	n := rows / groupRows * looseGroup(s, codes, groupRows)
	if rest := rows % groupRows; rest > 0 {
		n += looseGroup(s, codes, rest)
	}
	return n
}

func looseGroup(s lake.Schema, codes int, rows int64) int64 {
	column := func(width int64) int64 {
		n := vectorRows * (width + 1)
		if rest := rows - vectorRows; rest > 0 {
			n += ((rest*width+blockBytes-1)/blockBytes + 1) * blockBytes
		}
		return n
	}
	n := int64(codes) * column(1)
	var add func(cols []lake.Column)
	add = func(cols []lake.Column) {
		for _, c := range cols {
			width := int64(8)
			switch c.Type.Kind {
			case lake.Varchar, lake.Blob, lake.Decimal, lake.UUID:
				width = 24
			}
			n += column(width)
			add(c.Type.Fields)
		}
	}
	add(s.Columns)
	return n
}

// note notes for the dataset what the whole image will take, and gives it: as far as
// rows told it is a measure, else a guess by its files.
func (l *load) note() int64 {
	d, all := l.d, l.projected()
	if all > 0 {
		d.measured = max(all, l.image.bytes())
		d.projected = d.measured
		return d.projected
	}
	if d.measured == 0 {
		d.projected = l.estimate()
	}
	return max(d.projected, l.estimate())
}

func (p *publisher) tooLarge(l *load) error {
	all := l.note()
	free := max(p.ledger.budget-p.used()+l.image.bytes(), 0)
	return lake.Errorf(lake.CodeOutOfMemory, "the image of %s does not fit: it needs about %d bytes, %d are free", l.d.name, all, free).
		WithHint("evict or unpin other datasets, or give the cache more memory")
}
