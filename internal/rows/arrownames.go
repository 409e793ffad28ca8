package rows

import (
	"context"
	"io"
)

// ArrowNames gives the names of the columns of an Arrow stream, and reads no row.
func ArrowNames(ctx context.Context, r io.Reader) ([]string, error) {
	s := newBatchSource(ctx, ArrowStream, r, DecodeOptions{}.withDefaults())
	defer s.close()
	var out []string
	err := s.guard(func() error {
		rd, err := s.arrow(DefaultMaxBatchBytes)
		if err != nil {
			return err
		}
		for _, f := range rd.Schema().Fields() {
			out = append(out, f.Name)
		}
		return nil
	})
	return out, err
}
