package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/zeebo/xxh3"
)

// answer is what a subject said and how long it took.
type answer struct {
	Took time.Duration
	digest
}

// digest stands for a bag of rows: two answers with the same digest have the
// same columns and the same rows, in whatever order.
type digest struct {
	Rows int64  `json:"rows"`
	Sum  uint64 `json:"sum,string"`
}

func (d digest) String() string { return fmt.Sprintf("%d rows, checksum %016x", d.Rows, d.Sum) }

// add takes the rows of a batch in. Each row is hashed by itself and the hashes
// are added up, so their order does not count and double rows do. Floating
// values count to 12 digits: in what order threads add is theirs to choose.
func (d *digest) add(rec arrow.RecordBatch) {
	if d.Rows == 0 {
		d.Sum += xxh3.HashString(columnsText(rec.Schema()))
	}
	d.Rows += rec.NumRows()
	var line []byte
	for i := range int(rec.NumRows()) {
		line = line[:0]
		for _, c := range rec.Columns() {
			line = appendValue(line, c, i)
		}
		d.Sum += xxh3.Hash(line)
	}
}

// columnsText is the names and types of an answer's columns.
func columnsText(s *arrow.Schema) string {
	var b []byte
	for _, f := range s.Fields() {
		b = fmt.Appendf(b, "%d:%s %s\n", len(f.Name), f.Name, f.Type)
	}
	return string(b)
}

// appendValue appends a value so that no two rows of one schema look alike.
func appendValue(dst []byte, c arrow.Array, i int) []byte {
	if c.IsNull(i) {
		return append(dst, 0)
	}
	text := ""
	switch c := c.(type) {
	case *array.Float64:
		text = strconv.FormatFloat(c.Value(i), 'g', 12, 64)
	case *array.Float32:
		text = strconv.FormatFloat(float64(c.Value(i)), 'g', 6, 32)
	default:
		text = c.ValueStr(i)
	}
	dst = append(dst, 1)
	dst = strconv.AppendInt(dst, int64(len(text)), 10)
	dst = append(dst, ':')
	return append(dst, text...)
}

// digestStream reads an Arrow IPC stream.
func digestStream(stream []byte) (d digest, err error) {
	r, err := ipc.NewReader(bytes.NewReader(stream))
	if err != nil {
		return d, fmt.Errorf("read the answer: %w", err)
	}
	defer r.Release()
	for r.Next() {
		d.add(r.RecordBatch())
	}
	if err := r.Err(); err != nil && !errors.Is(err, io.EOF) {
		return d, fmt.Errorf("read the answer: %w", err)
	}
	return d, nil
}
