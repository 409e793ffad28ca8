package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/worker"
)

// wholeRows reads an Arrow stream of whole rows: the parts, and what the worker has of
// their keys.
type wholeRows struct {
	k     *keeping
	ctx   context.Context
	uuid  string
	parts *parts

	chunk partial
	left  map[string]int // rows of the chunk by their keys
	a     *Answer        // the worker's rows for the chunk
	d     *rows.Decoder

	out *ipc.Writer
	buf bytes.Buffer
	err error
}

// Read implements io.Reader.
func (w *wholeRows) Read(p []byte) (int, error) {
	for w.buf.Len() == 0 && w.err == nil {
		w.buf.Reset()
		if w.err = w.step(); w.err == io.EOF {
			if err := w.out.Close(); err != nil {
				w.err = err
			}
		}
	}
	if w.buf.Len() > 0 {
		return w.buf.Read(p)
	}
	return 0, w.err
}

func (w *wholeRows) close() {
	if w.d != nil {
		w.d.Close()
		w.d = nil
	}
	if w.a != nil {
		w.a.Body.Close()
		w.a = nil
	}
}

// step writes some rows into the buffer.
func (w *wholeRows) step() error {
	if w.d == nil {
		return w.ask()
	}
	there, err := w.d.Next()
	if err == io.EOF {
		w.close()
		return w.fresh()
	}
	if err != nil {
		return err
	}
	defer there.Release()
	return w.changed(there)
}

// ask begins the next chunk.
func (w *wholeRows) ask() (err error) {
	if w.chunk, err = w.parts.next(); err != nil {
		return err
	}
	k, schema := w.k, w.k.schema
	rec := k.record(w.chunk.cols, w.chunk.rows())
	w.left = make(map[string]int, w.chunk.rows())
	var key []byte
	for row := range w.chunk.rows() {
		key = k.enc.Append(key[:0], rec, row)
		w.left[string(key)] = row
	}
	only := schema.KeySchema().Arrow()
	cols := make([]arrow.Array, 0, len(schema.Key))
	for _, i := range schema.KeyIndexes() {
		cols = append(cols, w.chunk.cols[i])
	}
	var body bytes.Buffer
	out := ipc.NewWriter(&body, ipc.WithSchema(only))
	if err := errors.Join(out.Write(array.NewRecordBatch(only, cols, int64(w.chunk.rows()))), out.Close()); err != nil {
		return err
	}
	w.a, err = k.e.run(w.ctx, worker.QueryRequest{
		Format: rows.OutArrow, Within: true, Get: &worker.Get{TableUUID: w.uuid, Format: rows.ArrowStream, Keys: body.Bytes()},
	}, 0)
	if err != nil {
		return err
	}
	k.e.used(w.a.Head)
	w.d, err = rows.Decode(w.ctx, rows.ArrowStream, cutReader{w.a.Body}, rows.DecodeOptions{Schema: schema, MaxRowBytes: math.MaxInt32})
	return err
}

// changed writes rows that are there, with what the chunk gives of them.
func (w *wholeRows) changed(there arrow.RecordBatch) error {
	k, n := w.k, int(there.NumRows())
	part := make([]int, n) // the row of the chunk
	var key []byte
	for row := range n {
		key = k.enc.Append(key[:0], there, row)
		at, ok := w.left[string(key)]
		if !ok {
			return lake.Errorf(lake.CodeInternal, "the worker gave a row that was not asked for")
		}
		delete(w.left, string(key))
		part[row] = at
	}
	cols, picks := make([]arrow.Array, there.NumCols()), make([]int, n)
	for c := range cols {
		for row := range n {
			if picks[row] = w.chunk.rows() + row; w.chunk.gives(part[row], c) {
				picks[row] = part[row]
			}
		}
		var err error
		if cols[c], err = gather([]arrow.Array{w.chunk.cols[c], there.Column(c)}, picks); err != nil {
			return err
		}
	}
	return w.out.Write(k.record(cols, n))
}

// fresh writes the rows of the chunk whose keys are new: what they lack is null.
func (w *wholeRows) fresh() error {
	k := w.k
	picks := make([]int, 0, len(w.left))
	isLeft := make([]bool, w.chunk.rows())
	for _, row := range w.left {
		isLeft[row] = true
	}
	for row, left := range isLeft {
		if !left {
			continue
		}
		picks = append(picks, row)
		for c, column := range k.schema.Columns {
			if !column.Nullable && !w.chunk.gives(row, c) {
				return lake.Errorf(lake.CodeRowsInvalid, "row %d, column %q: it is missing and cannot be null, and no row has this key yet", w.chunk.numbers[row], column.Name).
					WithHint("nothing was taken: a new row needs all columns that take no null")
			}
		}
	}
	if len(picks) == 0 {
		return nil
	}
	cols := make([]arrow.Array, len(k.schema.Columns))
	for c := range cols {
		var err error
		if cols[c], err = gather(w.chunk.cols[c:c+1], picks); err != nil {
			return err
		}
	}
	return w.out.Write(k.record(cols, len(picks)))
}
