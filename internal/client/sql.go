package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// Query is one query. Params is a slice for ? and $1, a map for $name, or nil.
type Query struct {
	SQL     string
	Params  any
	Timeout time.Duration // 0: the server's
	Format  rows.OutFormat
	Engine  string // who answers: see engine.Engines; "": the server
	Fresh   bool   // not an answer that the server has kept
}

// Answer is the stream of a query. Close it always; closing before the end
// cancels the query.
type Answer struct {
	QueryID     string
	ContentType string
	ETag        string // of a read of one dataset, else ""
	TableUUID   string // of a change feed: the table that its sequences are of
	// Head is empty for JSON, which has it inside.
	Head rows.Head
	// Changed is what a statement did whose rows of RETURNING these are; nil of a query.
	Changed *engine.StatementResult
	Engine  string // the cluster that answers; "": the server

	res  *http.Response
	ctx  context.Context
	tail rows.Tail
	end  error // what every Read says once the stream has ended
}

// SQL runs a query.
func (c *Client) SQL(ctx context.Context, query Query) (*Answer, error) {
	q, err := query.request()
	if err != nil {
		return nil, err
	}
	if query.Fresh {
		q.header.Set("Cache-Control", "no-cache")
	}
	return c.answer(ctx, q, query.Format)
}

func (c *Client) answer(ctx context.Context, q *request, format rows.OutFormat) (*Answer, error) {
	// The media type without parameters is what Accept names.
	media := map[rows.OutFormat]string{
		rows.OutJSON: rows.MediaJSON, rows.OutNDJSON: rows.MediaNDJSON, rows.OutCSV: rows.MediaCSV, rows.OutArrow: rows.MediaArrow, rows.OutParquet: rows.MediaParquet,
	}[format]
	if media == "" {
		return nil, lake.Errorf(lake.CodeInternal, "%d is not a format of answers", format)
	}
	q.header.Set("Accept", media)
	res, err := c.do(ctx, q)
	if err != nil {
		return nil, err
	}
	a := &Answer{
		QueryID: res.Header.Get("Tarn-Query-Id"), ContentType: res.Header.Get("Content-Type"), ETag: res.Header.Get("ETag"),
		TableUUID: res.Header.Get("Tarn-Table-Uuid"), Engine: res.Header.Get("Tarn-Engine"),
		res: res, ctx: ctx,
	}
	for name, into := range map[string]any{"Tarn-Read-Points": &a.Head.ReadPoints, "Tarn-Served-From": &a.Head.ServedFrom, "Tarn-Changed": &a.Changed} {
		if s := res.Header.Get(name); s != "" {
			if err := json.Unmarshal([]byte(s), into); err != nil {
				res.Body.Close()
				return nil, lake.Errorf(lake.CodeInternal, "header %s does not parse: %w", name, err)
			}
		}
	}
	return a, nil
}

// Read reads the answer's bytes. io.EOF comes only once the trailers have said
// that this is the whole; otherwise the answer was cut, which is an error.
func (a *Answer) Read(p []byte) (int, error) {
	if a.end != nil {
		return 0, a.end
	}
	n, err := a.res.Body.Read(p)
	if err != nil {
		a.end = a.finish(err)
	}
	return n, a.end
}

func (a *Answer) finish(err error) error {
	switch {
	case a.ctx.Err() != nil:
		return a.ctx.Err()
	case err != io.EOF:
		return a.cut(err)
	}
	if a.tail.RowCount, err = strconv.ParseInt(a.res.Trailer.Get("Tarn-Row-Count"), 10, 64); err != nil {
		return a.cut(errors.New("its row count is missing"))
	}
	if a.tail.ElapsedMS, err = strconv.ParseFloat(a.res.Trailer.Get("Tarn-Elapsed-Ms"), 64); err != nil {
		return a.cut(errors.New("its elapsed time is missing"))
	}
	return io.EOF
}

func (a *Answer) cut(err error) error {
	e := lake.Errorf(lake.CodeUnavailable, "the answer was cut: %w", err)
	if a.Changed != nil {
		return e.WithHint("the statement is in (%d rows, sequence %d), and what came of its rows is not the whole", a.Changed.Rows, a.Changed.Sequence)
	}
	return e.WithHint("what came is not the whole; ask again, the server's log has the reason")
}

// Tail is the row count and the time, once Read has given io.EOF.
func (a *Answer) Tail() rows.Tail { return a.tail }

// Close ends the answer; the query is cancelled unless it has ended.
func (a *Answer) Close() error { return a.res.Body.Close() }
