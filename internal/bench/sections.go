package bench

import (
	"context"
	"time"

	"tarn/internal/lake"
)

// The systems as reports name them.
const (
	readParquet = "DuckDB read_parquet"
	plainTable  = "DuckDB in memory"
	compressed  = "DuckDB in memory, compressed"
	tarn        = "tarn"
	tarnByKey   = "tarn, by key"
	tarnAgain   = "tarn, asked again"
)

func isTarn(system string) bool { return system == tarn || system == tarnByKey || system == tarnAgain }

// cold fills the lake, and measures it without images.
func (b *bench) cold(ctx context.Context, d *door) error {
	if err := b.fill(ctx, d); err != nil {
		return err
	}
	if err := b.startPeers(ctx); err != nil {
		return err
	}
	err := b.section(ctx, Cold, []entrant{
		{System: readParquet, Rows: clean0, subject: b.peers.parquet},
		{System: readParquet, Rows: changed1, subject: b.peers.parquet},
		{System: readParquet, Rows: changed10, subject: b.peers.parquet},
		{System: plainTable, Rows: clean0, subject: b.peers.plain},
		{System: compressed, Rows: clean0, subject: b.peers.compressed},
		{System: tarn, Rows: clean0, subject: d},
		b.byKey(d, clean0),
		{System: tarn, Rows: changed1, subject: d},
		{System: tarn, Rows: changed10, subject: d},
		b.byKey(d, changed10),
	})
	if err != nil {
		return err
	}
	return b.writes(ctx, Cold, d)
}

// hot measures the lake with everything that is asked for in memory. The 10% are
// changed while their images are hot, so it is changes in place that are
// measured, and no load that merged them.
func (b *bench) hot(ctx context.Context, d *door) error {
	if err := b.pinAll(ctx, d); err != nil {
		return err
	}
	for _, t := range tables {
		b.step("change 10%% of %s in place", t.name)
		if err := b.change(ctx, d, datasetOf(changed10, t.name)); err != nil {
			return err
		}
	}
	err := b.section(ctx, Hot, []entrant{
		{System: plainTable, Rows: clean0, subject: b.peers.plain},
		{System: compressed, Rows: clean0, subject: b.peers.compressed},
		{System: readParquet, Rows: clean0, subject: b.peers.parquet},
		{System: readParquet, Rows: changed10, subject: b.peers.parquet},
		{System: tarn, Rows: clean0, subject: d},
		b.byKey(d, clean0),
		// Each round of "point" has another key.
		{System: tarnAgain, Rows: clean0, subject: again{d}, only: []string{"join", "join, one row", "filter", "group"}},
		{System: tarn, Rows: changed10, subject: d},
		b.byKey(d, changed10),
	})
	if err != nil {
		return err
	}
	if err := b.stats(ctx, d); err != nil {
		return err
	}
	return b.writes(ctx, Hot, d)
}

// section races all queries.
func (b *bench) section(ctx context.Context, state State, entrants []entrant) error {
	for _, q := range queries {
		b.step("%s: %s", state, q.Name)
		t, err := b.race(ctx, state, q, entrants)
		if err != nil {
			return err
		}
		b.report.Queries = append(b.report.Queries, t...)
	}
	return nil
}

// byKey is the lake read by key, beside the query "point".
func (b *bench) byKey(d *door, namespace string) entrant {
	return entrant{
		System: tarnByKey, Rows: namespace, subject: byKey{d}, only: []string{"point"},
		request: func(round int) string { return byKeyRequest(namespace, round, b.candidates) },
	}
}

// loads is how often the image of the largest dataset is loaded to be timed.
const loads = 5

// pinAll loads every image, and that of the clean timesheets several times.
func (b *bench) pinAll(ctx context.Context, d *door) error {
	sheets := datasetOf(clean0, "timesheets")
	var took []time.Duration
	var counted []int64
	for range loads {
		b.step("load the image of %s", sheets)
		if err := d.evict(ctx, sheets); err != nil {
			return err
		}
		one, bytes, err := d.pin(ctx, sheets)
		if err != nil {
			return err
		}
		took, counted = append(took, one), append(counted, bytes)
	}
	b.report.addImageLoad(sheets, b.timesheets, timesOf(took))
	b.report.ImageBytes = counted
	for _, namespace := range []string{clean0, changed10, written0} {
		for _, t := range tables {
			if _, _, err := d.pin(ctx, datasetOf(namespace, t.name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// stats reports what the images of the clean rows and the changed ones hold.
func (b *bench) stats(ctx context.Context, d *door) error {
	all, err := d.CacheStats(ctx)
	if err != nil {
		return err
	}
	for _, namespace := range []string{clean0, changed10} {
		rows, bytes := int64(0), int64(0)
		for _, h := range all.Datasets {
			name, err := lake.ParseName(h.Dataset)
			if err != nil {
				return err
			}
			if name.Namespace == namespace {
				rows, bytes = rows+h.Rows, bytes+h.Bytes
			}
		}
		b.report.addHeld(tarn, namespace, rows, bytes)
	}
	b.report.HeldDoubt = b.report.doubtHeld()
	return nil
}
