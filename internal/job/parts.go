package job

import (
	"context"
	"fmt"

	"tarn/internal/lake"
)

// copyArrived writes all inputs, of so many rows, as data files in the order of
// arrival. A Parquet file is read in parts that make a data file each, where it makes
// one at least.
func (s *session) copyArrived(ctx context.Context, a arrival, rows int64, schema lake.Schema) ([]Output, error) {
	if err := s.rowGroup(ctx, a.rows(false), schema); err != nil {
		return nil, err
	}
	parted := !s.sizes.wide // a part of such rows would be read with all the others of its row group
	for _, in := range a.inputs {
		parted = parted && in.part != nil && (len(a.inputs) == 1 || fileBytes(in.file.Path) >= s.spec.TargetFileBytes/2)
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
		return s.copySorted(ctx, a, all, rows, schema)
	}
	outs := []Output{}
	for _, in := range a.inputs {
		more, err := s.copyParts(ctx, in, schema, len(outs))
		if err != nil {
			return nil, err
		}
		outs = append(outs, more...)
	}
	return outs, nil
}

// copySorted writes what inputs of so many rows became, in its order.
func (s *session) copySorted(ctx context.Context, a arrival, sorted string, rows int64, schema lake.Schema) ([]Output, error) {
	bytes, err := s.arrivedBytes(ctx, a.inputs, rows, a.rows(false), schema)
	if err != nil {
		return nil, err
	}
	return s.copyData(ctx, content{name: "data", rows: sorted, sample: a.rows(false), bytes: bytes}, schema)
}

// copyParts writes an input as data files, of which the first has number. How many
// rows make a file of the target size is learnt from the input, then from the files
// written.
func (s *session) copyParts(ctx context.Context, in arrived, schema lake.Schema, number int) ([]Output, error) {
	n, err := s.count(ctx, "SELECT count(*) FROM ("+in.rows(nil)+")")
	if err != nil {
		return nil, err
	}
	total := n[0]
	bytes, err := s.arrivedBytes(ctx, []arrived{in}, total, in.rows(nil), schema)
	if err != nil {
		return nil, err
	}
	perRow := float64(bytes) / float64(max(total, 1))
	var outs []Output
	for from := int64(0); from < total; {
		rows := s.nextPart(total-from, perRow)
		more, err := s.copyData(ctx, content{
			name: fmt.Sprintf("data%d", number+len(outs)), rows: in.part(from, from+rows), sample: in.rows(nil), bytes: int64(perRow*float64(rows)) + 1,
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

// nextPart is how many of the rows that are left make the next file: files of equal
// sizes about the target's, each of whole row groups.
func (s *session) nextPart(left int64, perRow float64) int64 {
	files := int64(perRow*float64(left)/float64(s.spec.TargetFileBytes) + 0.5)
	if files <= 1 {
		return left
	}
	groups := max(1, (left/files+s.sizes.group/2)/s.sizes.group)
	return min(left, groups*s.sizes.group)
}
