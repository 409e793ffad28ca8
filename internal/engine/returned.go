package engine

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/uuid"

	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/workshop"
)

// returned are the rows that RETURNING gives, encoded as they come from the read and
// kept until the statement is committed: whatever can go wrong with them does so before.
// They are in memory while they are few, then in scratch. The goroutine that reads
// writes them; who gave up on the statement drops them.
type returned struct {
	e     *Engine
	out   rows.OutFormat
	head  rows.Head
	began time.Time
	enc   rows.Encoder
	count int64
	bytes int64

	mu struct {
		sync.Mutex
		small   bytes.Buffer
		file    *os.File
		pad     *workshop.Scratchpad
		dropped bool
	}
}

func newReturned(e *Engine, out rows.OutFormat, head rows.Head) *returned {
	r := &returned{e: e, out: out, head: head, began: time.Now()}
	r.enc = rows.NewEncoder(out, r)
	return r
}

func (r *returned) begin(columns []rows.Column, schema *arrow.Schema) error {
	return r.enc.Begin(columns, schema, r.head)
}

func (r *returned) take(rec arrow.RecordBatch) error {
	r.count += rec.NumRows()
	return r.enc.Write(rec)
}

// end ends the encoded rows, of which all are there.
func (r *returned) end() error { return r.enc.End(rows.Tail{}) }

// Write takes encoded bytes.
func (r *returned) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.dropped {
		return 0, lake.Errorf(lake.CodeCancelled, "nobody waits for the rows any more")
	}
	r.bytes += int64(len(p))
	if r.mu.file == nil && r.bytes <= freeBodyBytes {
		return r.mu.small.Write(p)
	}
	if r.mu.file == nil {
		if err := r.spool(); err != nil {
			return 0, err
		}
	}
	n, err := r.mu.file.Write(p)
	if err != nil {
		err = scratchFailed(err)
	}
	return n, err
}

// spool moves what is in memory into a scratch file; mu is held.
func (r *returned) spool() (err error) {
	if r.mu.pad, err = r.e.shop.NewScratchpad("returning"); err != nil {
		return err
	}
	r.mu.file, err = os.OpenFile(filepath.Join(r.mu.pad.Dir, uuid.NewString()), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return scratchFailed(err)
	}
	if _, err = r.mu.file.Write(r.mu.small.Bytes()); err != nil {
		return scratchFailed(err)
	}
	r.mu.small = bytes.Buffer{}
	return nil
}

// answer gives the rows of a statement that is committed; nil of none.
func (r *returned) answer(res StatementResult, id string, until time.Time) *Answer {
	if r == nil {
		return nil
	}
	changed, err := json.Marshal(res)
	if err != nil { // strings and numbers only
		panic(err)
	}
	tail := rows.Tail{RowCount: r.count, ElapsedMS: float64(time.Since(r.began).Microseconds()) / 1000, Changed: string(changed)}
	r.mu.Lock()
	defer r.mu.Unlock()
	body := io.Reader(bytes.NewReader(r.mu.small.Bytes()))
	if r.mu.file != nil {
		body = io.NewSectionReader(r.mu.file, 0, r.bytes)
	}
	// The tail that was written knows nothing yet.
	body = io.LimitReader(body, r.bytes-int64(len(rows.AppendTail(nil, r.out, rows.Tail{}))))
	return &Answer{
		ID: id, ContentType: r.out.ContentType(), Head: r.head, ETag: res.ETag, Deadline: until,
		Body: returnedBody{io.MultiReader(body, bytes.NewReader(rows.AppendTail(nil, r.out, tail))), r},
		Tail: func() rows.Tail { return tail },
	}
}

// drop lets go of the rows. It may be called twice, and of none.
func (r *returned) drop() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.dropped = true; r.mu.file != nil {
		r.mu.file.Close() // it was read, or is of no use to anybody
		r.mu.file = nil
	}
	if r.mu.pad != nil {
		r.mu.pad.Remove()
		r.mu.pad = nil
	}
}

// returnedBody reads the rows and lets go of them.
type returnedBody struct {
	io.Reader
	r *returned
}

func (b returnedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = lake.Errorf(lake.CodeUnavailable, "the statement was committed, and its rows cannot be read: %w", err)
	}
	return n, err
}

func (b returnedBody) Close() error {
	b.r.drop()
	return nil
}

// returnedPlace holds the rows of the last read of a statement. The committer puts them
// there, also when the client has given up.
type returnedPlace struct {
	mu struct {
		sync.Mutex
		rows *returned
		over bool
	}
}

func (p *returnedPlace) put(r *returned) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.rows.drop(); p.mu.over {
		r.drop()
	}
	p.mu.rows = r
}

// take gives the rows, which are then the caller's; nil where there are none.
func (p *returnedPlace) take() *returned {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.mu.rows
	p.mu.rows, p.mu.over = nil, true
	return r
}

// drop lets go of the rows, and of those that are put there later.
func (p *returnedPlace) drop() { p.take().drop() }
