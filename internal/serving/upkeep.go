package serving

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tarn/internal/lake"
)

// makeRoom sees to it, before hot datasets take their changes, that these fit
// where they can: what waits for compression is compressed, and a load gives
// way. What still does not fit demotes its dataset.
func (p *publisher) makeRoom(ctx context.Context, group []*dataset) {
	need := int64(0)
	for _, d := range group {
		if d.image == nil {
			continue
		}
		for _, s := range d.todo {
			if s.delta != nil && s.delta.Rows > 0 {
				need += 2 * s.delta.Bytes
			}
		}
		if !d.image.opened {
			need += openBytes(d.image.schema.Columns, len(d.image.codes))
		}
		need += slackBytes
	}
	if need == 0 || p.used()+need <= p.ledger.budget {
		return
	}
	if err := p.check.force(ctx, p); err == nil && p.used()+need <= p.ledger.budget {
		return
	}
	for len(p.loads) > 0 && p.loads[0].started() && p.used()+need > p.ledger.budget {
		p.endLoad(ctx, p.loads[0], p.tooLarge(p.loads[0]))
	}
}

// keepBudget measures what a step brought, and demotes the datasets that it
// changed where their images turned out larger than they were projected.
func (p *publisher) keepBudget(ctx context.Context, group []*dataset) {
	if err := p.account(ctx, false); err != nil {
		p.broken(err)
		return
	}
	if p.used() <= p.ledger.budget || p.check.force(ctx, p) == nil && p.used() <= p.ledger.budget {
		return
	}
	for _, d := range group {
		if d.image != nil {
			d.demote("demoted: " + errNoRoom.Error())
			p.bring(ctx, []*dataset{d})
		}
	}
}

// Point reads and the deletes of an apply depend on rows standing in the order
// of the key, and every scan passes over the rows that are gone: with a tenth of
// a million rows replaced, CHECKPOINT done, a full scan took 1.25 times and a
// filter 1.6 times the CPU of a clean image. An image is sorted anew, aside, once
// this share of its rows was replaced or deleted, which costs about 7 µs for each
// of those rows, a third of what their apply does; a small one is not worth it.
//
// A hundredth of the rows, scattered, is in every vector of the table, and DuckDB reads
// a vector with deleted rows another, slower way: 1.2 times for a scan. So an image of
// which nothing was replaced for a while is sorted anew for much less, as long as all of
// that takes no more than one part of restingParts of the time.
const (
	rebuildShare = 0.05
	restingShare = 1.0 / 256
	restingTime  = 2 * time.Second
	restingParts = 20
	rebuildRows  = 4 * 2048
)

// worn says whether the image is to be sorted anew: now, or, where nothing is replaced
// until then, at a time to come, which is not before soonest; zero: neither.
func (m *image) worn(now, soonest time.Time) (is bool, at time.Time) {
	if m.key == nil || m.counts.rows < rebuildRows {
		return false, at
	}
	share := float64(m.counts.replaced-m.passed) / float64(m.counts.rows)
	if at = m.at.Add(restingTime); at.Before(soonest) {
		at = soonest
	}
	switch {
	case share >= rebuildShare:
		return true, now
	case share < restingShare:
		return false, time.Time{}
	}
	return !now.Before(at), at
}

// tendAt is when the next image is to be sorted anew that is not to be now; zero: never.
func (p *publisher) tendAt(now time.Time) (soonest time.Time) {
	for _, d := range p.noted {
		if d.image == nil {
			continue
		}
		if is, at := d.image.worn(now, p.sortable); !is && !at.IsZero() && (soonest.IsZero() || at.Before(soonest)) {
			soonest = at
		}
	}
	return soonest
}

// tend starts the rebuild of an image that needs it, where nothing else is being
// loaded.
func (p *publisher) tend(ctx context.Context) {
	if len(p.loads) > 0 || ctx.Err() != nil {
		return
	}
	now := time.Now()
	for _, d := range p.noted {
		m := d.image
		if m == nil || m != d.shown.image || d.err != nil {
			continue
		}
		if is, _ := m.worn(now, p.sortable); !is {
			continue
		}
		m.passed = m.counts.replaced // whatever comes of it, not at once again
		if p.used()+m.bytes()+slackBytes > p.ledger.budget {
			d.reason = fmt.Sprintf("not sorted anew: beside the image its copy of about %d bytes does not fit", m.bytes())
			p.post()
			continue // another may fit, and nothing else says so of images at rest
		}
		if err := p.startRebuild(ctx, d); err != nil {
			d.reason = "not sorted anew: " + err.Error()
			p.broken(err)
		}
		return
	}
}

// startRebuild cuts an image into slices by its first key column.
func (p *publisher) startRebuild(ctx context.Context, d *dataset) error {
	m := d.image
	first := lake.QuoteIdent(m.schema.Key[0])
	rows, err := p.conn.Rows(ctx, fmt.Sprintf(`CREATE OR REPLACE TEMP TABLE _tarn_bounds AS
		SELECT row_number() OVER (ORDER BY k) AS n, k FROM (
			SELECT DISTINCT k FROM (SELECT %s AS k, row_number() OVER (ORDER BY %s) AS r FROM %s) WHERE r %% %d = 0)`,
		first, first, internal(m.table), sliceRows))
	if err != nil {
		return err
	}
	bounds, _ := rows[0][0].(int64)
	l := &load{d: d, image: p.newImage(d.uuid, m.schema), pin: p.end, total: m.counts.rows, rebuild: true}
	l.image.sequence, l.image.codes = m.sequence, m.codes
	v := coldView{schema: m.schema}
	for i := int64(0); i <= bounds; i++ {
		var where []string
		for _, side := range []struct {
			at int64
			op string
		}{{i, ">="}, {i + 1, "<"}} {
			if side.at >= 1 && side.at <= bounds {
				where = append(where, fmt.Sprintf("%s %s (SELECT k FROM temp.main._tarn_bounds WHERE n = %d)", first, side.op, side.at))
			}
		}
		sql := "SELECT " + v.names("") + m.codeNames() + " FROM " + internal(m.table)
		if len(where) > 0 {
			sql += " WHERE " + strings.Join(where, " AND ")
		}
		l.slices = append(l.slices, slice{sql: sql + " ORDER BY " + keyList(m.schema), rows: min(sliceRows, max(0, m.counts.rows-i*sliceRows))})
	}
	p.readers.pin(l.pin)
	d.load = l
	p.loads = append(p.loads, l)
	return nil
}
