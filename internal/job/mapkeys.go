package job

import (
	"context"
	"fmt"
	"strings"

	"tarn/internal/lake"
)

// checkMapKeys refuses maps of a Parquet file that hold a key twice: DuckDB reads
// them, and one of the values could never be asked for. Only columns with maps
// are read for it.
func (s *session) checkMapKeys(ctx context.Context, in *input) error {
	for _, c := range in.columns {
		twice := keyTwice(lake.QuoteIdent(c.name), c.typ, 0)
		if twice == "" {
			continue
		}
		found, err := s.count(ctx, fmt.Sprintf("SELECT coalesce(min(r), 0) FROM (SELECT row_number() OVER () AS r, %s AS bad FROM %s) WHERE bad", twice, in.from))
		if err != nil {
			return s.readFailure(err)
		}
		if found[0] > 0 {
			return lake.Errorf(lake.CodeRowsInvalid, "%s row %d: column %q: a map has one key twice", in.file.Name, found[0], c.name)
		}
	}
	return nil
}

// keyTwice is the condition that x, of type t, holds a map with a key twice; ""
// where it holds no map at all. depth tells the variables within apart.
func keyTwice(x string, t lake.Type, depth int) string {
	v := fmt.Sprintf("v%d", depth)
	within := func(values string, t lake.Type) string {
		if cond := keyTwice(v, t, depth+1); cond != "" {
			return fmt.Sprintf("coalesce(len(list_filter(%s, lambda %s: %s)) > 0, false)", values, v, cond)
		}
		return ""
	}
	var conds []string
	switch t.Kind {
	case lake.Map:
		keys := fmt.Sprintf("map_keys(%s)", x)
		conds = append(conds, fmt.Sprintf("coalesce(len(%[1]s) <> len(list_distinct(%[1]s)), false)", keys), within(keys, t.Fields[0].Type), within(fmt.Sprintf("map_values(%s)", x), t.Fields[1].Type))
	case lake.List:
		conds = append(conds, within(x, t.Fields[0].Type))
	case lake.Struct:
		for _, f := range t.Fields {
			conds = append(conds, keyTwice(fmt.Sprintf("struct_extract(%s, %s)", x, lake.QuoteString(f.Name)), f.Type, depth))
		}
	}
	some := conds[:0]
	for _, c := range conds {
		if c != "" {
			some = append(some, c)
		}
	}
	return strings.Join(some, " OR ")
}
