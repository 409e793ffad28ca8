package serving

import (
	"bytes"
	"context"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/duck"
	"tarn/internal/fileid"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// addLarge verifies a large delta and takes its keys in.
func (t *tail) addLarge(ctx context.Context, c *duck.Conn, uuid string, d lake.Delta) error {
	l := largeDelta{delta: d}
	identity, err := fileid.Of(d.Path)
	if err != nil {
		return guardedFile{kind: "delta", key: d.Key}.missing(err)
	}
	l.identity = identity
	if t.schema.Keyed() && t.keyTable == "" {
		if t.keyTable, err = t.newTable(ctx, c, "keys", uuid, t.schema.KeySchema().Columns); err != nil {
			return err
		}
	}
	at := t.schema.KeyIndexes()
	var key, first []byte
	seen := false
	h, err := format.OpenDelta(ctx, d.Path, t.schema, func(ch format.Changes) error {
		if !t.schema.Keyed() || ch.Rows.NumRows() == 0 {
			return nil
		}
		for row := range int(ch.Rows.NumRows()) {
			key = t.key.Append(key[:0], ch.Rows, row)
			delete(t.known, string(key))
			first = t.key.First(first[:0], ch.Rows, row)
			if !seen || bytes.Compare(first, l.low) < 0 {
				l.low = bytes.Clone(first)
			}
			if !seen || bytes.Compare(first, l.high) > 0 {
				l.high = bytes.Clone(first)
			}
			seen = true
		}
		keyRows := only(ch.Rows, at)
		defer keyRows.Release()
		rec := withChangeColumns(keyRows, ch.Ops, d.Sequence)
		defer rec.Release()
		return c.Append(ctx, catalogName, internalSchema, t.keyTable, []arrow.RecordBatch{rec})
	})
	if err != nil {
		return nameKey(err, d)
	}
	if err := sameDelta(d, h, uuid); err != nil {
		return err
	}
	if h.Rows == 0 {
		return nil
	}
	t.large = append(t.large, l)
	if !t.schema.Keyed() {
		return nil
	}
	t.touch(l.low, l.high)
	if t.table != "" {
		if err := t.deleteOlder(ctx, c, t.table, t.keyTable, d.Sequence); err != nil {
			return err
		}
	}
	return t.deleteOlder(ctx, c, t.keyTable, t.keyTable, d.Sequence)
}

// nameKey puts a delta's key where an error names its path.
func nameKey(err error, d lake.Delta) error {
	e, ok := err.(*lake.Error)
	if !ok || d.Path == "" {
		return err
	}
	out := &lake.Error{Code: e.Code, Hint: lake.HintOf(err)}
	out.Msg = strings.ReplaceAll(err.Error(), d.Path, d.Key)
	return out
}
