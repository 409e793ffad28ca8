package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tarn/internal/engine"
	"tarn/internal/rows"
)

// Writes are the figures of single-row upserts of existing keys, each a request
// of its own that is durable when it is answered.
type Writes struct {
	State State `json:"state"`
	Rows  int64 `json:"rows"` // of the dataset that is written

	One Times `json:"one_writer"`
	// Disk is, between the upserts of the one writer, what must be paid at least:
	// write, fsync and link a file as large as the delta, and fsync its folder.
	Disk      Times `json:"disk"`
	DiskBytes int64 `json:"disk_bytes"`

	Writers   int    `json:"writers"`
	Alone     Stream `json:"many_writers"`
	WithJoins Stream `json:"many_writers_beside_joins"`

	// The join over the written rows: with nobody writing, and beside the many.
	JoinQuiet Times   `json:"join_quiet"`
	JoinUnder Times   `json:"join_beside_writers"`
	JoinRatio float64 `json:"join_ratio"`
}

// Stream is what many writers got done.
type Stream struct {
	Rows    int64   `json:"rows"`
	Seconds float64 `json:"seconds"`
	PerS    float64 `json:"rows_per_s"`
	Times
}

// writes measures upserts, and then reads every acknowledged one back.
func (b *bench) writes(ctx context.Context, state State, d *door) error {
	w := Writes{State: state, Rows: b.timesheets, Writers: b.o.Writers}
	b.step("%s: one writer", state)
	if err := b.oneWriter(ctx, d, &w); err != nil {
		return err
	}
	b.step("%s: %d writers", state, b.o.Writers)
	alone, err := b.manyWriters(ctx, d)
	if err != nil {
		return err
	}
	w.Alone = alone
	b.step("%s: %d writers beside joins", state, b.o.Writers)
	if err := b.besideJoins(ctx, d, &w); err != nil {
		return err
	}
	b.step("%s: read back %d rows", state, len(b.written.marks))
	if err := b.written.check(ctx, d); err != nil {
		return err
	}
	b.compared++
	b.report.Writes = append(b.report.Writes, w)
	return nil
}

// oneWriter changes scattered rows one after the other, with a bare durable
// write between two of them.
func (b *bench) oneWriter(ctx context.Context, d *door, w *Writes) error {
	dir := filepath.Join(b.dir, "disk")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var took, disk []time.Duration
	warm := min(10, b.o.Upserts)
	for i := range warm + b.o.Upserts {
		one, err := b.upsert(ctx, d, int64(i)*4999%b.timesheets+1)
		if err != nil {
			return err
		}
		if i < warm {
			continue
		}
		if w.DiskBytes == 0 {
			if w.DiskBytes, err = deltaBytes(ctx, d); err != nil {
				return err
			}
		}
		bare, err := bareWrite(dir, i, w.DiskBytes)
		if err != nil {
			return err
		}
		took, disk = append(took, one), append(disk, bare)
	}
	w.One, w.Disk = timesOf(took), timesOf(disk)
	return os.RemoveAll(dir)
}

// deltaBytes is the size of the newest delta.
func deltaBytes(ctx context.Context, d *door) (int64, error) {
	all, err := d.Deltas(ctx, datasetOf(written0, "timesheets"))
	if err != nil {
		return 0, err
	}
	newest := engine.DeltaInfo{}
	for _, one := range all {
		if one.Sequence > newest.Sequence {
			newest = one
		}
	}
	if newest.Bytes == 0 {
		return 0, fmt.Errorf("no delta of %s.timesheets after an upsert", written0)
	}
	return newest.Bytes, nil
}

// bareWrite makes a file durable as the store does.
func bareWrite(dir string, i int, size int64) (time.Duration, error) {
	bytes := make([]byte, size)
	began := time.Now()
	aside := filepath.Join(dir, fmt.Sprintf("%d.tmp", i))
	f, err := os.Create(aside)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Write(bytes); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	if err := os.Link(aside, filepath.Join(dir, fmt.Sprint(i))); err != nil {
		return 0, err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, os.Remove(aside)
}

// manyWriters lets all writers write for the time of a run, each over rows of
// its own.
func (b *bench) manyWriters(ctx context.Context, d *door) (Stream, error) {
	var mu sync.Mutex
	var all []time.Duration
	g, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	own := b.timesheets / int64(b.o.Writers)
	for w := range int64(b.o.Writers) {
		g.Go(func() error {
			var took []time.Duration
			for n := int64(0); time.Since(began) < b.o.Time; n++ {
				one, err := b.upsert(ctx, d, w+1+n*7919%own*int64(b.o.Writers))
				if err != nil {
					return err
				}
				took = append(took, one)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return Stream{}, err
	}
	seconds := time.Since(began).Seconds()
	return Stream{Rows: int64(len(all)), Seconds: seconds, PerS: float64(len(all)) / seconds, Times: timesOf(all)}, nil
}

// besideJoins runs joins before, beside and after the many writers.
func (b *bench) besideJoins(ctx context.Context, d *door, w *Writes) error {
	sql := queries[0].in(written0, 0, b.candidates)
	var quiet, under []time.Duration
	join := func(to *[]time.Duration) error {
		a, err := d.run(ctx, sql)
		*to = append(*to, a.Took)
		return err
	}
	calm := func() error {
		for range b.o.Rounds {
			if err := join(&quiet); err != nil {
				return err
			}
		}
		return nil
	}
	if err := calm(); err != nil {
		return err
	}
	over := make(chan struct{})
	var g errgroup.Group
	g.Go(func() error {
		defer close(over)
		var err error
		w.WithJoins, err = b.manyWriters(ctx, d)
		return err
	})
	g.Go(func() error {
		for {
			if err := join(&under); err != nil {
				return err
			}
			select {
			case <-over:
				return nil
			default:
			}
		}
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if err := calm(); err != nil {
		return err
	}
	w.JoinQuiet, w.JoinUnder = timesOf(quiet), timesOf(under)
	w.JoinRatio = w.JoinUnder.MedianMS / w.JoinQuiet.MedianMS
	return nil
}

// upsert changes one timesheet and notes it once it is acknowledged.
func (b *bench) upsert(ctx context.Context, d *door, id int64) (time.Duration, error) {
	mark := b.written.next()
	body := b.written.row(id, mark)
	began := time.Now()
	_, err := d.Change(ctx, engine.ChangeRequest{
		Dataset: datasetOf(written0, "timesheets"), Op: engine.OpUpsert, Format: rows.NDJSON, Body: strings.NewReader(body),
	})
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	b.written.acknowledged(id, mark)
	return took, nil
}
