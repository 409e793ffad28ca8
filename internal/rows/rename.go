package rows

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// Rename passes an Arrow stream on with other names for its columns, of which there are
// as many as names. A batch is in memory at a time.
func Rename(ctx context.Context, r io.Reader, names []string) io.Reader {
	return &renamer{src: newBatchSource(ctx, ArrowStream, r, DecodeOptions{}.withDefaults()), names: names}
}

type renamer struct {
	src    *batchSource
	names  []string
	schema *arrow.Schema
	in     *ipc.Reader
	out    *ipc.Writer
	buf    bytes.Buffer
	err    error
}

// Read implements io.Reader.
func (n *renamer) Read(p []byte) (int, error) {
	for n.buf.Len() == 0 && n.err == nil {
		n.buf.Reset()
		if n.err = n.src.guard(n.step); n.err != nil {
			n.src.close()
		}
	}
	if n.buf.Len() > 0 {
		return n.buf.Read(p)
	}
	return 0, n.err
}

// step writes the schema, then a batch each time into the buffer; io.EOF at the end,
// behind what ends an Arrow stream.
func (n *renamer) step() (err error) {
	n.src.mem.used = 0
	if n.in == nil {
		if n.in, err = n.src.arrow(DefaultMaxBatchBytes); err != nil {
			return err
		}
		fields := n.in.Schema().Fields()
		if len(fields) != len(n.names) {
			return fmt.Errorf("it has %d columns and not %d", len(fields), len(n.names))
		}
		for i, name := range n.names {
			fields[i].Name = name
		}
		n.schema = arrow.NewSchema(fields, nil)
		n.out = ipc.NewWriter(&n.buf, ipc.WithSchema(n.schema))
		return nil
	}
	if !n.in.Next() {
		if err := n.in.Err(); err != nil {
			return err
		}
		if err := n.out.Close(); err != nil {
			return err
		}
		return io.EOF
	}
	rec := n.in.RecordBatch()
	named := array.NewRecordBatch(n.schema, rec.Columns(), rec.NumRows())
	defer named.Release()
	return n.out.Write(named)
}
