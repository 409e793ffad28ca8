package rows

import (
	"context"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Rename passes an Arrow stream on with other names for its columns, of which there are
// as many as names. A batch is in memory at a time.
func Rename(ctx context.Context, r io.Reader, names []string) io.Reader {
	return newRestream(ctx, r, &renamer{names: names})
}

type renamer struct {
	names  []string
	schema *arrow.Schema
}

func (n *renamer) begin(in *arrow.Schema) (*arrow.Schema, error) {
	fields := in.Fields()
	if len(fields) != len(n.names) {
		return nil, fmt.Errorf("it has %d columns and not %d", len(fields), len(n.names))
	}
	for i, name := range n.names {
		fields[i].Name = name
	}
	n.schema = arrow.NewSchema(fields, nil)
	return n.schema, nil
}

func (n *renamer) pass(rec arrow.RecordBatch) (arrow.RecordBatch, error) {
	return array.NewRecordBatch(n.schema, rec.Columns(), rec.NumRows()), nil
}

func (n *renamer) end() error { return nil }
