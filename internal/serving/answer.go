package serving

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/duck"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// Answer is a running query's result. It holds a connection and a snapshot
// until it is closed. Next is for one goroutine.
type Answer struct {
	Columns    []rows.Column
	Schema     *arrow.Schema
	ReadPoints map[string]lake.Place // by lake.Name.String() as the dataset is named
	ServedFrom map[string]string     // likewise; lake.ServedFromImage or ServedFromParquet
	Repeatable bool                  // another run at the same read points gives the same answer

	s      *Serving
	sess   *session
	read   *reading
	stream *duck.Stream
	text   planText // of a plan; nil for rows
	broken bool
	after  func(*session) // before the session goes back
	once   sync.Once
}

func newAnswer(s *Serving, sess *session, r *reading, stream *duck.Stream, p plan) *Answer {
	a := &Answer{s: s, sess: sess, read: r, stream: stream, text: p.text,
		Schema: stream.Schema(), ReadPoints: r.points, ServedFrom: r.from, Repeatable: p.repeatable}
	for _, c := range stream.Columns() {
		a.Columns = append(a.Columns, rows.Column{Name: c.Name, Type: c.Type})
	}
	return a
}

// Next gives the next batch, which the caller releases; io.EOF at the end. An
// error can come after any number of batches. Values of strings may point into
// C memory: they are valid until the batch is released.
func (a *Answer) Next(ctx context.Context) (arrow.RecordBatch, error) {
	rec, err := a.stream.Next(ctx)
	if err != nil {
		if errors.Is(err, io.EOF) {
			a.read.ended()
			return nil, io.EOF
		}
		a.broken = !sound(err)
		return nil, a.read.explain(err)
	}
	if a.text != nil {
		return explained(rec, a.ReadPoints, a.text)
	}
	return rec, nil
}

// Close ends the query where it still runs and frees its connection and its
// snapshot. It can be called twice.
func (a *Answer) Close() {
	a.once.Do(func() {
		a.stream.Close()
		a.read.end(context.Background())
		if a.after != nil {
			a.after(a.sess)
		}
		a.s.pool.put(a.sess, !a.broken)
	})
}
