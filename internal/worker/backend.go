package worker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/duck"
	"tarn/internal/keyread"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/serving"
)

// servingBackend answers the messages by a serving database.
type servingBackend struct{ s *serving.Serving }

func openServing(ctx context.Context, open Open, log *slog.Logger, die func(error)) (backend, error) {
	s, err := serving.Open(ctx, serving.Options{
		Duck: duck.Options{
			Scratch: open.Scratch, MemoryLimitBytes: open.duckBytes(), TempLimitBytes: open.TempLimitBytes,
			Threads: open.Threads, AllowedDirs: open.LakeDirs, Lock: true,
		},
		MaxConcurrent: open.MaxConcurrent, LargeDeltaBytes: open.LargeDeltaBytes, ImageBudgetBytes: open.ImageBudgetBytes, Log: log, Fatal: die,
	})
	if err != nil {
		return nil, err
	}
	return servingBackend{s}, nil
}

func (b servingBackend) Replay(ctx context.Context, entries []lake.Entry, end int64) error {
	return b.s.Replay(ctx, entries, end)
}

func (b servingBackend) Hear(ctx context.Context, entries []lake.Entry) (applied int64, err error) {
	err = b.s.Hear(ctx, entries)
	_, applied = b.s.Positions()
	return applied, err
}

func (b servingBackend) Query(ctx context.Context, req QueryRequest) (answer, error) {
	a, err := b.ask(ctx, req)
	if err != nil {
		return nil, marked(err)
	}
	return servingAnswer{a}, nil
}

func (b servingBackend) Retry(ctx context.Context, caller uint64, sent func() bool, run func(context.Context) error) error {
	return b.s.Retry(ctx, caller, sent, run)
}

func (b servingBackend) ask(ctx context.Context, req QueryRequest) (*serving.Answer, error) {
	if req.Get != nil {
		return b.get(ctx, req)
	}
	params, err := keyread.ParseParams(req.Params)
	if err != nil {
		return nil, err
	}
	return b.s.Query(ctx, serving.Request{
		ID: req.ID, SQL: req.SQL, Params: duck.Params(params), See: req.See, MaxSQLBytes: req.MaxSQLBytes,
		Trusted: req.Trusted, Datasets: req.Datasets, Visible: req.Visible, Instants: req.Instants,
		Snapshot: req.Snapshot, Placed: req.Placed, Check: req.Check,
	})
}

func (b servingBackend) get(ctx context.Context, req QueryRequest) (*serving.Answer, error) {
	schema, err := b.s.Schema(ctx, req.Get.TableUUID, req.See)
	if err != nil {
		return nil, err
	}
	if !schema.Keyed() {
		return nil, lake.Errorf(lake.CodeNoPrimaryKey, "the dataset has no primary key")
	}
	dec, err := rows.Decode(ctx, req.Get.Format, bytes.NewReader(req.Get.Keys), rows.DecodeOptions{Schema: schema.KeySchema()})
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	var batches []arrow.RecordBatch
	defer func() {
		for _, r := range batches {
			r.Release()
		}
	}()
	for {
		rec, err := dec.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		batches = append(batches, rec)
	}
	return b.s.Get(ctx, serving.GetRequest{TableUUID: req.Get.TableUUID, Keys: batches, See: req.See})
}

func (b servingBackend) Status(ctx context.Context) Status {
	st := Status{Released: b.s.Released(), Behind: b.s.Behind(), Datasets: b.s.Datasets(), ImageBytes: b.s.Images().UsedBytes}
	st.Heard, st.Applied = b.s.Positions()
	if memory, err := b.s.Memory(ctx); err == nil {
		st.Memory = memory
	}
	return st
}

func (b servingBackend) Image(ctx context.Context, verb string, m imageMessage) (Image, error) {
	switch verb {
	case imageLoad:
		return b.s.LoadImage(ctx, m.TableUUID, m.After)
	case imageProject:
		n, err := b.s.ProjectImage(ctx, m.TableUUID, m.After)
		return Image{TableUUID: m.TableUUID, Projected: n}, err
	case imageDrop:
		return b.s.DropImage(ctx, m.TableUUID, m.After)
	}
	return Image{}, lake.Errorf(lake.CodeInternal, "nothing is done to images by the name %q", verb)
}

func (b servingBackend) Images() Images { return b.s.Images() }

func (b servingBackend) Close() error {
	b.s.Close()
	return nil
}

type servingAnswer struct{ a *serving.Answer }

func (x servingAnswer) Head() rows.Head {
	return rows.Head{ReadPoints: x.a.ReadPoints, ServedFrom: x.a.ServedFrom, Repeatable: x.a.Repeatable}
}
func (x servingAnswer) Columns() []rows.Column { return x.a.Columns }
func (x servingAnswer) Schema() *arrow.Schema  { return x.a.Schema }
func (x servingAnswer) Close()                 { x.a.Close() }

func (x servingAnswer) Next(ctx context.Context) (arrow.RecordBatch, error) {
	rec, err := x.a.Next(ctx)
	if err != nil {
		return nil, marked(err)
	}
	return rec, nil
}

// marked marks the errors after which DuckDB cannot go on.
func marked(err error) error {
	if duck.IsFatal(err) {
		return fatal{err}
	}
	return err
}
