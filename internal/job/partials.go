package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"tarn/internal/duck"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// writePartials writes what arrived by key, and of a key in order of arrival, as an Arrow
// stream.
func (s *session) writePartials(ctx context.Context, ch Changes) (_ Output, err error) {
	dir, err := s.outDir("changes")
	if err != nil {
		return Output{}, err
	}
	names := make([]string, len(ch.Schema.Columns))
	for i, c := range ch.Schema.Columns {
		names[i] = col(i) + " AS " + lake.QuoteIdent(c.Name)
	}
	s.step("write")
	stream, err := s.c.Query(ctx, fmt.Sprintf("SELECT %s, given AS %s, rowid + 1 AS %s FROM arrived ORDER BY %s, rowid",
		list(names), rows.GivenColumn, RowColumn, list(keyCols(ch.Schema))), duck.Params{})
	if err != nil {
		return Output{}, err
	}
	defer stream.Close()
	out := Output{Path: filepath.Join(dir, "partials.arrow")}
	f, err := os.OpenFile(out.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return Output{}, diskError("write "+out.Path, err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = diskError("write "+out.Path, cerr)
		}
	}()
	w := ipc.NewWriter(f, ipc.WithSchema(stream.Schema()))
	for {
		rec, err := stream.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Output{}, err
		}
		out.Rows += rec.NumRows()
		err = w.Write(rec)
		rec.Release()
		if err != nil {
			return Output{}, diskError("write "+out.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return Output{}, diskError("write "+out.Path, err)
	}
	out.Bytes = fileBytes(out.Path)
	return out, nil
}
