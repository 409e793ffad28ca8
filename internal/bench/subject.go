package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// subject answers queries.
type subject interface {
	run(ctx context.Context, sql string) (answer, error)
}

// door is the lake as a subject.
type door struct {
	engine.Door
	close func(context.Context) error
	// from is where every dataset of an answer must have been served from
	// ("parquet", "image"), as a section measures one of the two, also beside
	// writers.
	from string
}

// openLake opens the lake with worker and jobs as processes, where there is a
// command for them. What the worker answers from depends on state.
func openLake(ctx context.Context, o Options, dir string, state State) (*door, error) {
	set := engine.Settings{
		Threads: o.Threads, QueryMemoryBytes: o.memoryBytes(),
		// Nothing compacts what is measured as pending.
		CompactAuto: false,
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	eo := engine.Options{Data: dir, Settings: setCache(set, state), MemoryBytes: o.MemoryBytes, Log: log}
	if o.Command != nil {
		eo.WorkerCommand, eo.JobCommand = o.command("worker"), o.command("job")
	}
	e, err := engine.Open(ctx, eo)
	if err != nil {
		return nil, err
	}
	return &door{Door: e, close: e.Close, from: state.servedFrom()}, nil
}

// run asks SQL and reads the answer to its last byte; decoding it is not timed.
func (d *door) run(ctx context.Context, sql string) (answer, error) {
	return d.ask(func() (*engine.Answer, error) {
		return d.Query(ctx, engine.QueryRequest{SQL: sql, Format: rows.OutArrow, Fresh: true})
	})
}

// again is the lake asked what it has answered before, with nothing changed since.
type again struct{ *door }

func (d again) run(ctx context.Context, sql string) (answer, error) {
	return d.ask(func() (*engine.Answer, error) {
		return d.Query(ctx, engine.QueryRequest{SQL: sql, Format: rows.OutArrow})
	})
}

// byKey is the lake asked for rows by key, without SQL. What it is asked to run
// is a dataset, a space, and the key as JSON.
type byKey struct{ *door }

func (d byKey) run(ctx context.Context, request string) (answer, error) {
	dataset, key, _ := strings.Cut(request, " ")
	name, err := lake.ParseName(dataset)
	if err != nil {
		return answer{}, err
	}
	return d.ask(func() (*engine.Answer, error) {
		return d.Get(ctx, engine.GetRequest{Dataset: name, Format: rows.NDJSON, Body: strings.NewReader(key + "\n"), Out: rows.OutArrow})
	})
}

func (d *door) ask(start func() (*engine.Answer, error)) (answer, error) {
	var text bytes.Buffer
	began := time.Now()
	a, err := start()
	if err != nil {
		return answer{}, err
	}
	_, err = text.ReadFrom(a.Body)
	took := time.Since(began)
	if err := errors.Join(err, a.Body.Close()); err != nil {
		return answer{}, err
	}
	for dataset, from := range a.Head.ServedFrom {
		if from != d.from {
			return answer{}, fmt.Errorf("%s was served from %s; this section measures %s", dataset, from, d.from)
		}
	}
	sum, err := digestStream(text.Bytes())
	return answer{Took: took, digest: sum}, err
}

// importFile makes a dataset of a Parquet file and gives how long it took.
func (d *door) importFile(ctx context.Context, dataset lake.Name, key []string, path string) (time.Duration, error) {
	began := time.Now()
	job, err := d.Import(ctx, engine.ImportRequest{
		Dataset: dataset, PrimaryKey: key,
		Next: engine.Files(engine.ImportFile{Name: dataset.Dataset, Format: rows.Parquet, Path: path}),
	})
	if err != nil {
		return 0, err
	}
	_, err = job.Wait(ctx)
	return time.Since(began), err
}

// upsertFile changes rows by a Parquet file.
func (d *door) upsertFile(ctx context.Context, dataset lake.Name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = d.Change(ctx, engine.ChangeRequest{Dataset: dataset, Op: engine.OpUpsert, Format: rows.Parquet, Body: f})
	return err
}
