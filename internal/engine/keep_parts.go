package engine

import (
	"context"
	"io"
	"math"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

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
