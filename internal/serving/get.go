package serving

import (
	"context"
	"errors"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/keys"
	"tarn/internal/lake"
)

// GetRequest asks for the rows of keys.
type GetRequest struct {
	TableUUID string
	Name      lake.Name           // used where TableUUID is empty
	Keys      []arrow.RecordBatch // of the schema's KeySchema, in lake.Type.Arrow types, without nulls
	See       int64
}

// keysInText is how many keys go into the query itself; more go through a table.
const keysInText = 32

// Get gives the rows of the keys, in no order; absent keys are left out, and a
// key that comes twice gives one row. It fails with CodeNoPrimaryKey for a
// dataset without a key, and as Query does.
func (s *Serving) Get(ctx context.Context, req GetRequest) (*Answer, error) {
	if err := s.ear.waitHeard(ctx, req.See); err != nil {
		return nil, err
	}
	uuid, d, err := s.getTarget(req)
	if err != nil {
		return nil, err
	}
	if err := checkKeys(d.schema.KeySchema(), req.Keys); err != nil {
		return nil, err
	}
	sess, err := s.pool.get(ctx)
	if err != nil {
		return nil, err
	}
	takesMemory(ctx)
	a, err := s.get(ctx, sess, uuid, d, d.schema.KeySchema(), req.Keys)
	for errors.Is(err, errReshaped) {
		if uuid, d, err = s.getTarget(req); err == nil && checkKeys(d.schema.KeySchema(), req.Keys) != nil {
			err = lake.Errorf(lake.CodeSchemaChanged, "the key of %s changed while it was read", d.name).WithHint("ask again")
		}
		if err == nil {
			a, err = s.get(ctx, sess, uuid, d, d.schema.KeySchema(), req.Keys)
		}
	}
	if errors.Is(err, errMoved) {
		err = errNoDataset()
	}
	if err != nil {
		s.pool.put(sess, false)
		return nil, err
	}
	return a, nil
}

// checkKeys says whether batches have the types of a key, and no nulls.
func checkKeys(key lake.Schema, batches []arrow.RecordBatch) error {
	at := make([]int, len(key.Columns))
	for i := range at {
		at[i] = i
	}
	enc := keys.NewEncoder(key, at)
	for _, b := range batches {
		if err := enc.Check(b); err != nil {
			return err
		}
	}
	return nil
}

func errNoDataset() error {
	return lake.Errorf(lake.CodeDatasetNotFound, "the dataset does not exist")
}

func (s *Serving) getTarget(req GetRequest) (uuid string, d heardDataset, err error) {
	uuid, ok := req.TableUUID, false
	if uuid != "" {
		d, ok = s.ear.dataset(uuid)
	} else {
		uuid, d, ok = s.ear.find(req.Name)
	}
	if !ok {
		return "", d, errNoDataset()
	}
	if !d.schema.Keyed() {
		return "", d, lake.Errorf(lake.CodeNoPrimaryKey, "dataset %s has no primary key", d.name)
	}
	return uuid, d, nil
}

func (s *Serving) get(ctx context.Context, sess *session, uuid string, d heardDataset, key lake.Schema, batches []arrow.RecordBatch) (*Answer, error) {
	p := plan{datasets: []lake.Name{d.name}, byKey: &keyRead{uuid: uuid, columns: coldView{schema: d.schema}.names("d")}}
	var ok bool
	if p.byKey.where, ok = inText(key, batches, keysInText); ok {
		return s.run(ctx, sess, p)
	}
	// The table is made before the transaction, which only reads.
	cols := make([]string, len(key.Columns))
	same := make([]string, len(key.Columns))
	for i, c := range key.Columns {
		q := lake.QuoteIdent(c.Name)
		cols[i] = q + " " + c.Type.SQL()
		same[i] = "d." + q + " = k." + q
	}
	if err := sess.conn.Exec(ctx, "CREATE OR REPLACE TEMP TABLE _tarn_keys ("+strings.Join(cols, ", ")+")"); err != nil {
		return nil, err
	}
	if err := sess.conn.Append(ctx, "temp", "main", "_tarn_keys", batches); err != nil {
		return nil, err
	}
	p.byKey.where = "EXISTS (FROM temp.main._tarn_keys k WHERE " + strings.Join(same, " AND ") + ")"
	a, err := s.run(ctx, sess, p)
	if err != nil {
		return nil, err
	}
	a.after = func(sess *session) {
		if sess.conn.Exec(context.WithoutCancel(ctx), "DROP TABLE temp.main._tarn_keys") != nil {
			a.broken = true
		}
	}
	return a, nil
}

// mostKeyText bounds the text that spells keys, which DuckDB has to plan.
const mostKeyText = 64 << 10

// inText spells up to so many keys as a condition; ok is false when there are more, one
// has no spelling or they are long. Keys of one column are a list, of which DuckDB looks
// for all at once.
func inText(key lake.Schema, batches []arrow.RecordBatch, most int64) (where string, ok bool) {
	total := int64(0)
	for _, b := range batches {
		total += b.NumRows()
	}
	if total == 0 {
		return "false", true
	}
	if total > most {
		return "", false
	}
	values := make([][]string, len(key.Columns)) // by column and row
	bytes := 0
	for i, c := range key.Columns {
		for _, b := range batches {
			for row := range int(b.NumRows()) {
				text, ok := literal(c.Type, b.Column(i), row)
				if bytes += len(text); !ok || bytes > mostKeyText {
					return "", false
				}
				values[i] = append(values[i], text)
			}
		}
	}
	name := func(i int) string { return "d." + lake.QuoteIdent(key.Columns[i].Name) }
	if len(values) == 1 {
		return name(0) + " IN (" + strings.Join(values[0], ", ") + ")", true
	}
	either := make([]string, total)
	for row := range either {
		all := make([]string, len(values))
		for i := range values {
			all[i] = name(i) + " = " + values[i][row]
		}
		either[row] = "(" + strings.Join(all, " AND ") + ")"
	}
	return strings.Join(either, " OR "), true
}
