package serving

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"tarn/internal/duck"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// instants gives the files of the instants that a text names, in their order. Those
// that the request does not bring are asked for, all at once, by CodeInstants.
func (s *Serving) instants(ctx context.Context, sess *session, asked []lake.Instant, brought []lake.InstantFiles) ([]lake.InstantFiles, error) {
	out := make([]lake.InstantFiles, len(asked))
	missing := false
	for i, in := range asked {
		at := slices.IndexFunc(brought, func(f lake.InstantFiles) bool {
			return f.Instant.Dataset == in.Dataset && f.Instant.Sequence == in.Sequence && f.Instant.Time == in.Time && f.Instant.Placed == in.Placed
		})
		if at < 0 {
			missing = true
			continue
		}
		out[i] = brought[at]
	}
	if !missing {
		return out, nil
	}
	asked = slices.Clone(asked)
	for i, in := range asked {
		if in.Time == "" {
			continue
		}
		rows, err := sess.conn.Rows(ctx, "SELECT epoch_us(CAST(?::VARCHAR AS TIMESTAMPTZ))", in.Time)
		if err != nil {
			return nil, lake.Step(in.String(), err)
		}
		us, ok := rows[0][0].(int64)
		if !ok {
			return nil, lake.Errorf(lake.CodeSQLInvalid, "%s: that is no time", in)
		}
		asked[i].TimeMicros = us
	}
	list, err := json.Marshal(asked)
	if err != nil {
		return nil, err
	}
	return nil, lake.Errorf(lake.CodeInstants, "%s", list)
}

// snapshotPlan plans SQL that reads some datasets from what its request brings.
func snapshotPlan(checked duck.Checked, req Request) (plan, error) {
	if checked.Kind != duck.Select {
		return plan{}, lake.Errorf(lake.CodeSQLRefused, "a transaction takes no %s", checked.Kind)
	}
	p := plan{sql: checked.SQL, params: req.Params}
	for n, name := range checked.Datasets {
		at := broughtFor(req.Instants, name)
		if at < 0 || req.Instants[at].Present {
			p.datasets = append(p.datasets, name)
		}
		if at >= 0 {
			p.instants, p.views = append(p.instants, req.Instants[at]), append(p.views, duck.SnapshotView(name, n))
		}
	}
	return p, nil
}

// broughtFor is the place of what is read of a dataset, -1 where it is read as it is.
func broughtFor(brought []lake.InstantFiles, name lake.Name) int {
	return slices.IndexFunc(brought, func(f lake.InstantFiles) bool { return f.Instant.Dataset.Key() == name.Key() })
}

// showInstants makes the views that stand for instants in a plan's text, in the open
// transaction of its reading, with which they go.
func (r *reading) showInstants(ctx context.Context, instants []lake.InstantFiles, views []string) error {
	verified := map[string]bool{} // keys of deltas
	for n, in := range instants {
		sql, g, err := instantSQL(ctx, in, verified)
		if err != nil {
			return lake.Step(in.Instant.String(), err)
		}
		r.guards = append(r.guards, g)
		if err := r.sess.conn.Exec(ctx, "CREATE TEMP VIEW "+views[n]+" AS "+sql); err != nil {
			return r.explain(err)
		}
		if in.Present {
			continue // begin told where it stands
		}
		name := in.Instant.String()
		r.points[name] = lake.Place{ReadPoint: lake.ReadPoint{TableUUID: in.TableUUID, Sequence: in.Sequence}, Snapshot: in.Snapshot}
		r.from[name] = lake.ServedFromParquet
	}
	return nil
}

// instantSQL is the query that shows an instant, from its files, which are checked: the
// base files' identity, the deltas whole unless they were verified before. A dataset as it
// is now is guarded by whoever begins the reading.
func instantSQL(ctx context.Context, in lake.InstantFiles, verified map[string]bool) (string, *guard, error) {
	var deltas []lake.BaseFile // as far as a scan is concerned
	var large []largeDelta
	for _, d := range in.Deltas {
		if d.Rows == 0 {
			continue
		}
		if ctx.Err() != nil {
			return "", nil, ctx.Err()
		}
		if !verified[d.Key] {
			if err := verifyDelta(d, in.TableUUID); err != nil {
				return "", nil, err
			}
			verified[d.Key] = true
		}
		deltas = append(deltas, lake.BaseFile{Key: d.Key, Path: d.Path})
		large = append(large, largeDelta{delta: d})
	}
	v := coldView{schema: in.Schema, files: in.Files}
	if in.Evolved || in.Instant.Placed && hidesPlaces(in.Schema) {
		v.forms = forms{}
		if err := v.forms.fill(in.Files, large); err != nil {
			return "", nil, err
		}
	}
	g, err := newGuard(0, v)
	if err != nil {
		return "", nil, err
	}
	if in.Instant.Placed {
		return v.placedSQL(deltas), g, nil
	}
	base, _, err := v.sql(func([]int) (*shownMask, error) { return nil, nil })
	if in.Present {
		base, err = "SELECT "+v.names("")+" FROM "+viewName(in.Instant.Dataset), nil
	}
	if err != nil || len(deltas) == 0 {
		return base, g, err
	}
	changes := v.changesSQL(deltas)
	if !in.Schema.Keyed() {
		return base + "\nUNION ALL SELECT " + v.names("") + " FROM (" + changes + ") WHERE " + opColumn + " = 0", g, nil
	}
	key := coldView{schema: in.Schema.KeySchema()}
	return fmt.Sprintf("WITH %[1]schanges AS MATERIALIZED (SELECT %[2]s, %[3]s FROM (%[4]s) QUALIFY row_number() OVER (PARTITION BY %[5]s ORDER BY %[6]s DESC) = 1)\n"+
		"SELECT %[7]s FROM (%[8]s) b ANTI JOIN %[1]schanges c ON %[9]s\nUNION ALL SELECT %[2]s FROM %[1]schanges WHERE %[3]s = 0",
		lake.ReservedColumnPrefix, v.names(""), opColumn, changes, key.names(""), sequenceColumn, v.names("b"), base, v.sameKey("b", "c")), g, nil
}

// changesSQL reads deltas, in their order, with the operation, and with the place of a
// row's delta as its sequence.
func (v coldView) changesSQL(deltas []lake.BaseFile) string {
	all := make([]int, len(deltas))
	for i := range all {
		all[i] = i
	}
	groups := v.forms.parted(all, deltas, true)
	place := "file_index"
	if slices.ContainsFunc(v.schema.Columns, func(c lake.Column) bool { return strings.EqualFold(c.Name, place) }) {
		groups, place = nil, "0" // a column of that name would be taken for it
		for _, i := range all {
			groups = append(groups, []int{i})
		}
	}
	parts := make([]string, len(groups))
	for i, group := range groups {
		paths := make([]string, len(group))
		for n, d := range group {
			paths[n] = deltas[d].Path
		}
		parts[i] = fmt.Sprintf("SELECT %s, %s, (%d + %s)::BIGINT AS %s FROM %s", v.columns(paths[0]), opColumn, group[0], place, sequenceColumn, readParquet(paths, ""))
	}
	return strings.Join(parts, " UNION ALL ")
}

// verifyDelta reads a delta whole, and fails where it is not as it was written.
func verifyDelta(d lake.Delta, uuid string) error {
	f, err := os.Open(d.Path)
	if err != nil {
		return guardedFile{kind: "delta", key: d.Key}.missing(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return guardedFile{kind: "delta", key: d.Key}.missing(err)
	}
	h, err := format.ReadDeltaHeader(d.Key, f, fi.Size())
	if err != nil {
		return err
	}
	return sameDelta(d, h, uuid)
}
