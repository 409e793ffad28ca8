package job

import (
	"context"
	"fmt"

	"tarn/internal/lake"
)

// copyArrived writes all inputs as data files, in the order of arrival. A Parquet
// file is read in parts that make a data file each, where it makes one at least.
func (s *session) copyArrived(ctx context.Context, a arrival, schema lake.Schema) ([]Output, error) {
	sizes := make([]int64, len(a.inputs))
	parted := true
	for i, in := range a.inputs {
		sizes[i] = fileBytes(in.file.Path)
		parted = parted && in.part != nil && (len(a.inputs) == 1 || sizes[i] >= s.spec.TargetFileBytes/2)
	}
	if !parted {
		parts := make([]string, len(a.inputs))
		for i, in := range a.inputs {
			parts[i] = in.rows(nil)
		}
		all, err := s.united(ctx, parts, schema)
		if err != nil {
			return nil, err
		}
		return s.copyData(ctx, content{name: "data", rows: all, sample: all, bytes: s.expected}, schema)
	}
	var outs []Output
	for i, in := range a.inputs {
		more, err := s.copyParts(ctx, in, sizes[i], schema, len(outs))
		if err != nil {
			return nil, err
		}
		outs = append(outs, more...)
	}
	return outs, nil
}

// copyParts writes an input as data files, of which the first has number. How many
// rows make a file of the target size is learnt from the bytes of the input, then
// from the files written.
func (s *session) copyParts(ctx context.Context, in arrived, size int64, schema lake.Schema, number int) ([]Output, error) {
	n, err := s.count(ctx, "SELECT count(*) FROM ("+in.rows(nil)+")")
	if err != nil {
		return nil, err
	}
	total, target := n[0], s.spec.TargetFileBytes
	var outs []Output
	for from, perRow := int64(0), float64(size)/float64(max(total, 1)); from < total; {
		left := total - from
		files := max(1, int64(perRow*float64(left)/float64(target)+0.5))
		rows := left
		if files > 1 {
			rows = min(left, (left/files/rowGroupRows+1)*rowGroupRows)
		}
		bytes := min(target, int64(perRow*float64(rows))+1)
		more, err := s.copyData(ctx, content{
			name: fmt.Sprintf("data%d", number+len(outs)), rows: in.part(from, from+rows), sample: in.rows(nil), bytes: bytes,
		}, schema)
		if err != nil {
			return nil, err
		}
		if got := rowsOf(more); got != rows {
			return nil, lake.Errorf(lake.CodeInternal, "%s: %d rows were written where %d are from row %d on", in.file.Name, got, rows, from+1)
		}
		outs = append(outs, more...)
		from += rows
		perRow = float64(bytesOf(outs)) / float64(from)
	}
	return outs, nil
}
