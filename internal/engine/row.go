package engine

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/keys"
	"tarn/internal/lake"
	"tarn/internal/results"
	"tarn/internal/rows"
)

// Row gives one row by its key as a JSON object, with the ETag of the state that it
// was read from: one that is held or kept, or the worker's, which is kept from then on.
func (e *Engine) Row(ctx context.Context, name lake.Name, key string) ([]byte, string, error) {
	e.asked.mark()
	if err := e.mayRead(); err != nil {
		return nil, "", err
	}
	m, err := e.keyed(name)
	if err != nil {
		return nil, "", err
	}
	for {
		schema := m.ds.State().Schema
		row, etag, err := e.row(ctx, m, schema, name, key)
		if err == nil || ctx.Err() != nil || m.ds.State().Schema.ID == schema.ID {
			return row, etag, err
		}
		// The key's columns may have got other names or types meanwhile.
	}
}

func (e *Engine) row(ctx context.Context, m *member, schema lake.Schema, name lake.Name, key string) ([]byte, string, error) {
	body, err := keyAsCSV(schema, key)
	if err != nil {
		return nil, "", err
	}
	asked, err := bodyKeys(ctx, schema, rows.CSV, body)
	if err == nil && len(asked) != 1 {
		err = lake.Errorf(lake.CodeInvalidRequest, "the key %q is not one row's", key)
	}
	if err != nil {
		if _, why := keys.ParsePath(schema.KeySchema(), key); why != nil {
			err = why // in the words of a path, not of a body
		}
		return nil, "", lake.Step("get from "+name.String(), err)
	}
	if !e.results.Enabled() {
		row, etag, err := e.fetchRow(ctx, m, body)
		return found(row, etag, err, name, key)
	}
	if h := e.findHeld(m, name, schema, asked...); h != nil {
		row, err := h.json()
		return found(row, h.state.ETag(), err, name, key)
	}
	row, etag, fetch := e.keptRow(m, asked[0])
	if fetch == nil {
		return found(row, etag, nil, name, key)
	}
	row, etag, err = e.fetchRow(ctx, m, body)
	e.keepRow(m, fetch, row, err)
	return found(row, etag, err, name, key)
}

func found(row []byte, etag string, err error, name lake.Name, key string) ([]byte, string, error) {
	if err == nil && len(row) == 0 {
		err = lake.Errorf(lake.CodeRowNotFound, "%s has no row with the key %s", name, key)
	}
	if err != nil {
		return nil, "", err
	}
	return row, etag, nil
}

// keptRow gives a row that is kept, empty where its key is known to be absent, and
// the ETag of the same instant; else the fetch with which to keep it.
func (e *Engine) keptRow(m *member, key string) (row []byte, etag string, fetch *results.Fetch) {
	e.stream.Do(func() []lake.Entry {
		s := m.ds.State()
		var ok bool
		if row, fetch, ok = e.results.Row(s.UUID, key, s.Sequence); ok {
			etag = s.ETag()
		}
		return nil
	})
	if fetch == nil {
		e.cache.Reused(m.ds.State().UUID)
	}
	return row, etag, fetch
}

// keepRow ends a fetch.
func (e *Engine) keepRow(m *member, fetch *results.Fetch, row []byte, err error) {
	if err != nil {
		e.results.Drop(fetch)
		return
	}
	e.stream.Do(func() []lake.Entry {
		e.results.Keep(fetch, row, m.ds.State().Sequence)
		return nil
	})
}

// fetchRow reads a row, empty where there is none.
func (e *Engine) fetchRow(ctx context.Context, m *member, body []byte) ([]byte, string, error) {
	a, err := e.get(ctx, m, "", "", rows.CSV, body, rows.OutNDJSON)
	if err != nil {
		return nil, "", err
	}
	defer a.Body.Close()
	row, err := io.ReadAll(a.Body)
	if err != nil {
		return nil, "", err
	}
	return bytes.Clone(bytes.TrimSpace(row)), a.ETag, nil
}

// bodyKeys are the keys of a body, as the committer names them; none where it has more
// than keysAtOnce.
func bodyKeys(ctx context.Context, schema lake.Schema, format rows.Format, body []byte) ([]string, error) {
	key := schema.KeySchema()
	dec, err := rows.Decode(ctx, format, bytes.NewReader(body), rows.DecodeOptions{Schema: key, BatchRows: keysAtOnce + 1})
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	at := make([]int, len(key.Columns))
	for i := range at {
		at[i] = i
	}
	enc := keys.NewEncoder(key, at)
	var out []string
	for {
		rec, err := dec.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if out, err = appendKeys(out, enc, rec); err != nil || len(out) > keysAtOnce {
			return nil, err
		}
	}
}

func appendKeys(out []string, enc *keys.Encoder, rec arrow.RecordBatch) ([]string, error) {
	defer rec.Release()
	if err := enc.Check(rec); err != nil {
		return nil, err
	}
	for row := range int(rec.NumRows()) {
		if out = append(out, string(enc.Append(nil, rec, row))); len(out) > keysAtOnce {
			break
		}
	}
	return out, nil
}

// keyAsCSV is the key of a URL's path as a CSV body of one row. Every field is
// quoted: an empty text is a value, not a null.
func keyAsCSV(schema lake.Schema, key string) ([]byte, error) {
	parts := strings.Split(key, ",")
	for i, p := range parts {
		text, err := url.PathUnescape(p)
		if err != nil {
			return nil, lake.Errorf(lake.CodeInvalidRequest, "the key %q: %w", key, err)
		}
		parts[i] = lake.QuoteIdent(text)
	}
	head := make([]string, len(schema.Key))
	for i, name := range schema.Key {
		head[i] = lake.QuoteIdent(name)
	}
	return []byte(strings.Join(head, ",") + "\n" + strings.Join(parts, ",") + "\n"), nil
}
