package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// lakeClient is the tour's server as it is asked: a few calls of package
// client with the tour's formats.
type lakeClient struct{ c *client.Client }

func newLakeClient(url string) (*lakeClient, error) {
	c, err := client.New(url, nil)
	if err != nil {
		return nil, err
	}
	return &lakeClient{c}, nil
}

func (l *lakeClient) close() { l.c.Close() }

// answer is a whole answer; the tour's are small.
type answer struct {
	rows    [][]any           // numbers as json.Number
	from    map[string]string // by dataset: image or parquet
	elapsed time.Duration
}

// ask has the query run, also where the server has kept its answer.
func (l *lakeClient) ask(ctx context.Context, sql string) (answer, error) {
	return l.question(ctx, client.Query{SQL: sql, Format: rows.OutJSON, Fresh: true})
}

// askAgain takes an answer that the server has kept.
func (l *lakeClient) askAgain(ctx context.Context, sql string) (answer, error) {
	return l.question(ctx, client.Query{SQL: sql, Format: rows.OutJSON})
}

func (l *lakeClient) question(ctx context.Context, q client.Query) (answer, error) {
	var out answer
	sql := q.SQL
	began := time.Now()
	a, err := l.c.SQL(ctx, q)
	if err != nil {
		return out, lake.Step(sql, err)
	}
	defer a.Close() // read to its end below, or given up
	text, err := io.ReadAll(a)
	if err != nil {
		return out, lake.Step(sql, err)
	}
	out.elapsed = time.Since(began)
	var body struct {
		Rows       [][]any           `json:"rows"`
		ServedFrom map[string]string `json:"served_from"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&body); err != nil {
		return out, fmt.Errorf("the answer to %s does not parse: %w", sql, err)
	}
	out.rows, out.from = body.Rows, body.ServedFrom
	return out, nil
}

// objects gives the rows of a query as objects by column name.
func (l *lakeClient) objects(ctx context.Context, sql string) ([]map[string]any, error) {
	a, err := l.c.SQL(ctx, client.Query{SQL: sql, Format: rows.OutNDJSON})
	if err != nil {
		return nil, lake.Step(sql, err)
	}
	defer a.Close()
	return readObjects(a)
}

func readObjects(r io.Reader) ([]map[string]any, error) {
	var out []map[string]any
	d := json.NewDecoder(r)
	d.UseNumber()
	for {
		var row map[string]any
		switch err := d.Decode(&row); err {
		case nil:
			out = append(out, row)
		case io.EOF:
			return out, nil
		default:
			return nil, err
		}
	}
}

func (l *lakeClient) importFiles(ctx context.Context, name string, paths, key []string) (engine.ImportResult, error) {
	files := make([]client.File, len(paths))
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return engine.ImportResult{}, err
		}
		files[i] = client.File{
			Name: path, ContentType: rows.MediaParquet, Size: info.Size(),
			Open: func() (io.ReadCloser, error) { return os.Open(path) },
		}
	}
	return l.c.Import(ctx, named(name), files, client.ImportOptions{PrimaryKey: key})
}

func (l *lakeClient) importFile(ctx context.Context, name, path string, key []string) (engine.ImportResult, error) {
	return l.importFiles(ctx, name, []string{path}, key)
}

func (l *lakeClient) upsert(ctx context.Context, name string, lines []byte) (engine.ChangeResult, error) {
	return l.c.Upsert(ctx, named(name), linesBody(lines), client.ChangeOptions{})
}

func (l *lakeClient) append(ctx context.Context, name string, lines []byte, key string) (engine.ChangeResult, error) {
	return l.c.Upsert(ctx, named(name), linesBody(lines), client.ChangeOptions{IdempotencyKey: key})
}

func (l *lakeClient) remove(ctx context.Context, name string, keys []byte) (engine.ChangeResult, error) {
	return l.c.Delete(ctx, named(name), linesBody(keys), client.ChangeOptions{})
}

func (l *lakeClient) changes(ctx context.Context, name string, lines []byte, key string) (engine.ChangeResult, error) {
	return l.c.Changes(ctx, named(name), linesBody(lines), client.ChangeOptions{IdempotencyKey: key})
}

// get says how many of the keys have a row.
func (l *lakeClient) get(ctx context.Context, name string, keys []byte) (int64, error) {
	a, err := l.c.Get(ctx, named(name), linesBody(keys), rows.OutNDJSON)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	found, err := readObjects(a)
	return int64(len(found)), err
}

func (l *lakeClient) row(ctx context.Context, name, key string) (map[string]any, error) {
	text, _, err := l.c.Row(ctx, named(name), key)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var row map[string]any
	err = d.Decode(&row)
	return row, err
}

func (l *lakeClient) rowExists(ctx context.Context, name, key string) (bool, error) {
	_, _, err := l.c.Row(ctx, named(name), key)
	if lake.CodeOf(err) == lake.CodeRowNotFound {
		return false, nil
	}
	return err == nil, err
}

func (l *lakeClient) describe(ctx context.Context, name string) (engine.Description, error) {
	return l.c.Describe(ctx, named(name))
}

func (l *lakeClient) compact(ctx context.Context, name string) (engine.CompactResult, error) {
	dataset := named(name)
	results, err := l.c.Compact(ctx, client.CompactOptions{Dataset: &dataset})
	if err != nil {
		return engine.CompactResult{}, err
	}
	return results[0], nil
}

// named is a dataset of the tour; their names are made of letters and _.
func named(dataset string) lake.Name {
	return lake.Name{Namespace: lake.DefaultNamespace, Dataset: dataset}
}

func linesBody(lines []byte) client.Body {
	return client.Body{ContentType: rows.MediaNDJSON, Reader: bytes.NewReader(lines), Length: int64(len(lines))}
}
