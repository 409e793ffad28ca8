package job

import (
	"bytes"
	"context"
	"fmt"
	"sort"

	"tarn/internal/duck"
	"tarn/internal/keys"
	"tarn/internal/lake"
)

// cutGroup is a group with its rows of the table changes: from ≤ rowid < to.
type cutGroup struct {
	files    []int
	from, to int64
}

// cut finds where the changes of each group begin. The changes stand in key
// order, so that a search by halves over their row ids finds it: the bounds are
// bytes as package keys makes them, and no SQL of them is needed.
func (s *session) cut(ctx context.Context, f Fold) ([]cutGroup, error) {
	groups := f.Groups
	if len(groups) == 0 {
		all := make([]int, len(f.Base))
		for i := range all {
			all[i] = i
		}
		groups = []Group{{Files: all}}
	}
	if err := checkGroups(groups, len(f.Base)); err != nil {
		return nil, err
	}
	n, err := s.count(ctx, "SELECT count(*) FROM changes")
	if err != nil {
		return nil, err
	}
	out := make([]cutGroup, len(groups))
	for i, g := range groups {
		out[i] = cutGroup{files: g.Files, to: n[0]}
		if i == 0 {
			continue
		}
		if out[i].from, err = s.firstAt(ctx, f.Schema, g.From, out[i-1].from, n[0]); err != nil {
			return nil, err
		}
		out[i-1].to = out[i].from
	}
	return out, nil
}

// checkGroups makes sure that each file is in one group and that groups ascend.
func checkGroups(groups []Group, files int) error {
	seen := make([]bool, files)
	for i, g := range groups {
		if i > 0 && (g.From == nil || i > 1 && bytes.Compare(groups[i-1].From, g.From) > 0) {
			return lake.Errorf(lake.CodeInternal, "fold: group %d does not begin above the one before it", i)
		}
		for _, f := range g.Files {
			if f < 0 || f >= files || seen[f] {
				return lake.Errorf(lake.CodeInternal, "fold: group %d names file %d, which is no file or in two groups", i, f)
			}
			seen[f] = true
		}
	}
	for f, ok := range seen {
		if !ok {
			return lake.Errorf(lake.CodeInternal, "fold: file %d is in no group", f)
		}
	}
	return nil
}

// firstAt gives the first row id in [from, to) of a change at or above a bound
// of the first key column, to if there is none.
func (s *session) firstAt(ctx context.Context, schema lake.Schema, bound []byte, from, to int64) (int64, error) {
	var fault error
	n := sort.Search(int(to-from), func(i int) bool {
		if fault != nil {
			return true
		}
		first, err := s.firstKey(ctx, schema, from+int64(i))
		if err != nil {
			fault = err
			return true
		}
		return bytes.Compare(first, bound) >= 0
	})
	return from + int64(n), fault
}

// firstKey encodes the first key column of a change.
func (s *session) firstKey(ctx context.Context, schema lake.Schema, rowid int64) ([]byte, error) {
	stream, err := s.c.Query(ctx, fmt.Sprintf("SELECT %s FROM changes WHERE rowid = %d", list(keyCols(schema)), rowid), duck.Params{})
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	rec, err := stream.Next(ctx)
	if err != nil {
		return nil, lake.Step("read a change", err)
	}
	defer rec.Release()
	at := make([]int, len(schema.Key))
	for i := range at {
		at[i] = i
	}
	return keys.NewEncoder(schema.KeySchema(), at).First(nil, rec, 0), nil
}
