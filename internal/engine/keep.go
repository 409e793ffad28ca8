package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/job"
	"tarn/internal/keys"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/worker"
)

// keep upserts rows that lack columns, which stay as they are (rows.MissingKeep). The rows
// are made one of each key first. When the committer's turn has come, the worker is asked
// for the rows of these keys; whole rows then take the way of a body.
func (e *Engine) keep(ctx context.Context, m *member, s *dataset.State, r ChangeRequest, b *body, q *change.Request) (change.Acknowledged, error) {
	k := &keeping{e: e, schema: s.Schema, enc: keys.NewEncoder(s.Schema.KeySchema(), s.Schema.KeyIndexes())}
	defer k.close()
	if err := k.read(ctx, s, r, b); err != nil {
		return change.Acknowledged{}, err
	}
	return m.committer.SubmitPrepared(ctx, ctx, *q, func(ctx context.Context, now *dataset.State) (change.Request, error) {
		return k.prepare(ctx, now, *q)
	})
}

// keeping is one such request.
type keeping struct {
	e      *Engine
	schema lake.Schema
	enc    *keys.Encoder
	count  int64 // rows of the request

	all  []partial // of a small one
	file string    // of a large one: a job's Arrow stream, by key
	done func()
}

func (k *keeping) close() {
	if k.done != nil {
		k.done()
	}
}

// read decodes the body: in memory, or by a job that sorts it.
func (k *keeping) read(ctx context.Context, s *dataset.State, r ChangeRequest, b *body) (err error) {
	if b.path == "" {
		err = k.decode(ctx, r, b)
		if errors.Is(err, errGrows) {
			err = b.spool(k.e)
		}
	}
	if err == nil && b.path != "" {
		r.Op = ChangeOp(job.OpKeep)
		var q change.Request
		if err = k.e.changesByJob(ctx, s, r, b, &q); err == nil {
			k.all, k.file, k.count, k.done = nil, q.File, q.Rows, q.LetGo
		}
	}
	return err
}

func (k *keeping) decode(ctx context.Context, r ChangeRequest, b *body) error {
	d, err := rows.Decode(ctx, r.Format, b.Reader(), rows.DecodeOptions{
		Schema: k.schema, Missing: rows.MissingKeep, MaxRowBytes: int(k.e.set.MaxRowBytes), ScratchDir: k.e.scratch(),
	})
	if err != nil {
		return err
	}
	defer d.Close()
	size := int64(0)
	for {
		rec, err := d.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if size += sizeOf(rec); size > growth*k.e.set.SpoolBytes {
			return errGrows
		}
		p := partial{cols: rec.Columns(), numbers: make([]int64, rec.NumRows())}
		for i := range p.numbers {
			p.numbers[i] = k.count + int64(i) + 1
		}
		k.count += rec.NumRows()
		k.all = append(k.all, p)
	}
	if k.count == 0 {
		return nil
	}
	one, err := k.collapse(k.all)
	k.all = []partial{one}
	return err
}

// prepare makes whole rows, in the hand of the committer.
func (k *keeping) prepare(ctx context.Context, s *dataset.State, q change.Request) (change.Request, error) {
	if s.Schema.ID != k.schema.ID {
		return q, lake.Errorf(lake.CodeSchemaChanged, "the schema of %s changed while the request waited", s.Name).
			WithHint("send it again: it is checked against the new schema")
	}
	q.SchemaID = s.Schema.ID
	b, err := onceMore(func() (*body, error) { return k.whole(ctx, s) })
	if err != nil {
		return q, err
	}
	err = b.goesWith(&q, k.e.decodeBody(ctx, s, ChangeRequest{Op: OpUpsert, Format: rows.ArrowStream}, b, &q))
	q.Rows = k.count
	return q, err
}

// whole is a body of whole rows, one of each key.
func (k *keeping) whole(ctx context.Context, s *dataset.State) (*body, error) {
	parts, err := k.parts(ctx)
	if err != nil {
		return nil, err
	}
	defer parts.close()
	in := &wholeRows{k: k, ctx: ctx, uuid: s.UUID, parts: parts}
	defer in.close()
	in.out = ipc.NewWriter(&in.buf, ipc.WithSchema(k.schema.Arrow()))
	return k.e.readBodyWithin(ctx, k.e.made, in, math.MaxInt64-1, k.e.set.SpoolBytes)
}

// partial is rows that may lack columns: those of the dataset and rows.GivenColumn, and
// their numbers in the request.
type partial struct {
	cols    []arrow.Array
	numbers []int64
}

func (p partial) rows() int { return len(p.numbers) }

func (p partial) slice(from, to int) partial {
	out := partial{cols: make([]arrow.Array, len(p.cols)), numbers: p.numbers[from:to]}
	for i, c := range p.cols {
		out.cols[i] = array.NewSlice(c, int64(from), int64(to))
	}
	return out
}

func (p partial) gives(row, column int) bool {
	return rows.Gives(p.cols[len(p.cols)-1].(*array.Binary).Value(row), column)
}

// record is the rows without what is only theirs.
func (k *keeping) record(cols []arrow.Array, n int) arrow.RecordBatch {
	return array.NewRecordBatch(k.schema.Arrow(), cols[:len(k.schema.Columns)], int64(n))
}

// collapse makes one row of all of a key: of each column what the last has that gives it.
func (k *keeping) collapse(parts []partial) (partial, error) {
	all, err := k.join(parts)
	if err != nil {
		return all, err
	}
	last := len(k.schema.Columns)
	rec := k.record(all.cols, all.rows())
	place := map[string]int{}
	var of [][]int // rows by key
	var key []byte
	for row := range all.rows() {
		key = k.enc.Append(key[:0], rec, row)
		at, ok := place[string(key)]
		if !ok {
			at = len(of)
			place[string(key)] = at
			of = append(of, nil)
		}
		of[at] = append(of[at], row)
	}
	if len(of) == all.rows() {
		return all, nil
	}
	out := partial{cols: make([]arrow.Array, last+1), numbers: make([]int64, len(of))}
	picks, given := make([]int, len(of)), array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	bits := make([]byte, (last+7)/8)
	for c := range last {
		for i, of := range of {
			picks[i] = of[len(of)-1]
			for j := len(of) - 1; j >= 0; j-- {
				if all.gives(of[j], c) {
					picks[i] = of[j]
					break
				}
			}
		}
		if out.cols[c], err = gather(all.cols[c:c+1], picks); err != nil {
			return partial{}, err
		}
	}
	for i, of := range of {
		clear(bits)
		for _, row := range of {
			for j, b := range all.cols[last].(*array.Binary).Value(row) {
				bits[j] |= b
			}
		}
		given.Append(bits)
		out.numbers[i] = all.numbers[of[0]]
	}
	out.cols[last] = given.NewArray()
	return out, nil
}

// join puts parts behind each other.
func (k *keeping) join(parts []partial) (partial, error) {
	if len(parts) == 1 {
		return parts[0], nil
	}
	out := partial{cols: make([]arrow.Array, len(k.schema.Columns)+1)}
	for i := range out.cols {
		pieces := make([]arrow.Array, len(parts))
		for j, p := range parts {
			pieces[j] = p.cols[i]
		}
		var err error
		if out.cols[i], err = array.Concatenate(pieces, memory.DefaultAllocator); err != nil {
			return partial{}, err
		}
	}
	for _, p := range parts {
		out.numbers = append(out.numbers, p.numbers...)
	}
	return out, nil
}

// gather takes values of several arrays, which are counted as if behind each other.
func gather(from []arrow.Array, picks []int) (arrow.Array, error) {
	var pieces []arrow.Array
	for i := 0; i < len(picks); {
		at, n := picks[i], 1
		for i+n < len(picks) && picks[i+n] == at+n {
			n++
		}
		i += n
		for _, arr := range from { // a run may go over the end of an array
			if at < arr.Len() && n > 0 {
				some := min(n, arr.Len()-at)
				pieces = append(pieces, array.NewSlice(arr, int64(at), int64(at+some)))
				at, n = at+some, n-some
			}
			at -= arr.Len()
		}
	}
	if len(pieces) == 1 {
		return pieces[0], nil
	}
	return array.Concatenate(pieces, memory.DefaultAllocator)
}

// parts gives the rows of a request in chunks, all of a key in one.
type parts struct {
	k    *keeping
	left []partial // of a small request
	file *os.File
	d    *rows.Decoder
	held partial // of a large one: the last key that was read, which may go on
}

func (k *keeping) parts(ctx context.Context) (_ *parts, err error) {
	p := &parts{k: k, left: k.all}
	if k.file == "" {
		return p, nil
	}
	if p.file, err = os.Open(k.file); err != nil {
		return nil, scratchFailed(err)
	}
	schema := lake.Schema{ID: k.schema.ID, Key: k.schema.Key}
	inKey := map[int]bool{}
	for _, i := range k.schema.KeyIndexes() {
		inKey[i] = true
	}
	for i, c := range k.schema.Columns {
		c.Nullable = !inKey[i]
		schema.Columns = append(schema.Columns, c)
	}
	schema.Columns = append(schema.Columns, lake.Column{Name: rows.GivenColumn, Type: lake.Type{Kind: lake.Blob}}, lake.Column{Name: job.RowColumn, Type: lake.Type{Kind: lake.Bigint}})
	p.d, err = rows.Decode(ctx, rows.ArrowStream, p.file, rows.DecodeOptions{Schema: schema, MaxRowBytes: math.MaxInt32})
	if err != nil {
		p.close()
	}
	return p, err
}

func (p *parts) close() {
	if p.d != nil {
		p.d.Close()
	}
	if p.file != nil {
		p.file.Close() // it was read only
	}
}

// chunkRows and chunkBytes bound what is asked of the worker at once.
const (
	chunkRows  = 2048
	chunkBytes = 4 << 20
)

// next is the next chunk; io.EOF ends.
func (p *parts) next() (partial, error) {
	for len(p.left) == 0 {
		if err := p.more(); err != nil {
			return partial{}, err
		}
	}
	one := p.left[0]
	n := chunk(one)
	if p.left = p.left[1:]; n < one.rows() {
		p.left = append([]partial{one.slice(n, one.rows())}, p.left...)
		one = one.slice(0, n)
	}
	return one, nil
}

// chunk is how many of the rows go into one chunk.
func chunk(p partial) int {
	if p.rows() == 0 {
		return 0
	}
	size := int64(1)
	for _, c := range p.cols {
		size += int64(c.Data().SizeInBytes())
	}
	each := size/int64(p.rows()) + 1
	return min(p.rows(), chunkRows, int(max(1, chunkBytes/each)))
}

// more reads the next rows of a job's file. The last key is held back, as it may go on.
func (p *parts) more() error {
	if p.d == nil {
		return io.EOF
	}
	rec, err := p.d.Next()
	if err == io.EOF && p.held.rows() > 0 {
		p.left, p.held = append(p.left, p.held), partial{}
		return nil
	}
	if err != nil {
		return err
	}
	last := int(rec.NumCols()) - 1
	numbers := rec.Column(last).(*array.Int64)
	now := partial{cols: rec.Columns()[:last], numbers: make([]int64, rec.NumRows())}
	for i := range now.numbers {
		now.numbers[i] = numbers.Value(i)
	}
	all := []partial{now}
	if p.held.rows() > 0 {
		all = []partial{p.held, now}
	}
	one, err := p.k.collapse(all)
	if err != nil {
		return err
	}
	n := one.rows()
	p.held = one.slice(n-1, n)
	if n > 1 {
		p.left = append(p.left, one.slice(0, n-1))
	}
	return nil
}

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
