package job

import (
	"context"
	"fmt"
	"strings"

	"tarn/internal/lake"
)

// Messages name the first few keys, and of each the first few places.
const (
	namedKeys   = 5
	namedPlaces = 4
)

// keyConflict says which keys are null or double, and where they are in the
// inputs. bad are the first that were found in the outputs.
func (s *session) keyConflict(ctx context.Context, a arrival, schema lake.Schema, outs []Output, bad [][]string) error {
	keys := keyCols(schema)
	placed := a.rows(true)
	null := strings.Join(each(keys, "%[1]s IS NULL"), " OR ")
	nulls, err := s.c.Rows(ctx, fmt.Sprintf("SELECT r::BIGINT, count(*) OVER () FROM (%s) WHERE %s ORDER BY r LIMIT %d", placed, null, namedKeys))
	if err != nil {
		return s.readFailure(err)
	}
	name := strings.Join(schema.Key, ", ")
	if len(nulls) > 0 {
		places := make([]string, len(nulls))
		for i, row := range nulls {
			places[i] = a.where(row[0].(int64))
		}
		return lake.Errorf(lake.CodeKeyConflict, "primary key (%s): null in %d rows: %s", name, nulls[0][1], list(places)).
			WithHint("every row needs a value in each key column")
	}
	total, err := s.count(ctx, "SELECT count(*) FROM ("+disordered(outs, schema)+")")
	if err != nil {
		return err
	}
	var named []string
	for _, key := range bad {
		places, err := s.placesOf(ctx, a, placed, keys, key)
		if err != nil {
			return err
		}
		if len(places) < 2 {
			return lake.Errorf(lake.CodeInternal, "the outputs are not in key order at %s", keyText(key))
		}
		text := keyText(key) + " (" + list(places) + ")"
		if len(named) == 0 || named[len(named)-1] != text {
			named = append(named, text)
		}
	}
	return lake.Errorf(lake.CodeKeyConflict, "primary key (%s): %d rows repeat a key: %s", name, total[0], list(named)).
		WithHint("make the keys unique, or import with on_duplicate=last to keep the last row of each key")
}

func (s *session) placesOf(ctx context.Context, a arrival, placed string, keys, key []string) ([]string, error) {
	same := make([]string, len(keys))
	for i, k := range keys {
		same[i] = fmt.Sprintf("%s::VARCHAR = %s", k, lake.QuoteString(key[i]))
	}
	found, err := s.c.Rows(ctx, fmt.Sprintf("SELECT r::BIGINT FROM (%s) WHERE %s ORDER BY r LIMIT %d", placed, strings.Join(same, " AND "), namedPlaces))
	if err != nil {
		return nil, s.readFailure(err)
	}
	out := make([]string, len(found))
	for i, row := range found {
		out[i] = a.where(row[0].(int64))
	}
	return out, nil
}
