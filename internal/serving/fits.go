package serving

import "tarn/internal/lake"

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

// fits says whether a slice may be taken: the first by the size of its files,
// the others by what the rows before took.
func (p *publisher) fits(l *load, s slice) error {
	need := s.bytes
	if n := l.image.counts.rows; n > 0 {
		need = int64(float64(l.image.bytes()) / float64(n) * float64(s.rows))
	}
	if p.used()+need+slackBytes > p.ledger.budget {
		return p.tooLarge(l)
	}
	// Far too large already: not worth the rest.
	if all := l.projected(); all > 0 && all-l.image.bytes() > (p.ledger.budget-p.used())*5/4 {
		return p.tooLarge(l)
	}
	return nil
}

func (p *publisher) tooLarge(l *load) error {
	all := l.projected()
	if all == 0 {
		all = l.estimate()
	}
	l.d.projected = max(all, l.image.bytes())
	free := max(p.ledger.budget-p.used()+l.image.bytes(), 0)
	return lake.Errorf(lake.CodeOutOfMemory, "the image of %s does not fit: it needs about %d bytes, %d are free", l.d.name, l.d.projected, free).
		WithHint("evict or unpin other datasets, or give the cache more memory")
}
