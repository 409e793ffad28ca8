package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/apache/arrow-go/v18/parquet/file"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// ownDataset is one dataset of somebody's own files.
type ownDataset struct {
	name  string
	files []string
	first string // name of the first column
	rows  int64
	key   []string // the first column where it is unique and without null
}

// own is the tour on somebody's own Parquet files: it cannot compute what their
// sums must be, so it compares the lake with itself before and after, and
// counts.
func (t *tour) own(ctx context.Context) error {
	datasets, err := t.findFiles()
	if err != nil {
		return err
	}
	if err := t.importOwn(ctx, datasets); err != nil {
		return err
	}
	target := &datasets[0]
	for i := range datasets {
		d := &datasets[i]
		if better := len(d.key) - len(target.key); better > 0 || better == 0 && d.rows > target.rows {
			target = d
		}
	}
	if err := t.askOwn(ctx, datasets); err != nil {
		return err
	}
	if target.rows == 0 {
		return fmt.Errorf("all datasets of %s are empty; the tour needs rows to change", t.Data)
	}
	sample, err := t.sample(ctx, target)
	if err != nil {
		return err
	}
	if err := t.changeOwn(ctx, target, sample); err != nil {
		return err
	}
	return t.crash(ctx, newOwnLoad(target, sample))
}

// findFiles makes a dataset of each Parquet file, and one of all those in a
// folder below.
func (t *tour) findFiles() ([]ownDataset, error) {
	t.step("Find the Parquet files in " + t.Data)
	entries, err := os.ReadDir(t.Data)
	if err != nil {
		return nil, err
	}
	var out []ownDataset
	for _, e := range entries {
		path := filepath.Join(t.Data, e.Name())
		files := []string{path}
		if e.IsDir() {
			if files, err = filepath.Glob(filepath.Join(path, "*.parquet")); err != nil {
				return nil, err
			}
		} else if !strings.EqualFold(filepath.Ext(path), ".parquet") {
			continue
		}
		if len(files) == 0 {
			continue
		}
		d, err := lookAt(e.Name(), files)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(o ownDataset) bool { return strings.EqualFold(o.name, d.name) }) {
			return nil, fmt.Errorf("%s: another file makes a dataset %s already; rename one", path, d.name)
		}
		out = append(out, d)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no .parquet file in %s", t.Data)
	}
	total := int64(0)
	for _, d := range out {
		total += d.rows
	}
	t.say("%d datasets, %s rows", len(out), count(total))
	return out, nil
}

func lookAt(name string, files []string) (ownDataset, error) {
	d := ownDataset{name: datasetName(name), files: files}
	for _, path := range files {
		r, err := file.OpenParquetFile(path, false)
		if err != nil {
			return d, fmt.Errorf("read %s: %w", path, err)
		}
		d.rows += r.NumRows()
		if root := r.MetaData().Schema.Root(); d.first == "" && root.NumFields() > 0 {
			d.first = root.Field(0).Name()
		}
		if err := r.Close(); err != nil {
			return d, err
		}
	}
	return d, nil
}

// datasetName makes a dataset's name of a file's: letters, digits and _.
func datasetName(fileName string) string {
	base := strings.TrimSuffix(fileName, filepath.Ext(fileName))
	name := strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '_'
	}, base)
	if name == "" || unicode.IsDigit(rune(name[0])) {
		name = "d_" + name
	}
	return name[:min(len(name), 128)]
}

// importOwn imports each dataset with its first column as the key where that is
// possible, else without a key.
func (t *tour) importOwn(ctx context.Context, datasets []ownDataset) error {
	t.step("Start a server and import; the first column is the primary key where it is unique and never null")
	if err := t.start(ctx, "--no-compact-auto"); err != nil {
		return err
	}
	t.say("tarn serve, process %d, at %s", t.server.pid(), t.server.url)
	list := importList(&t.report, datasets, func(d ownDataset) string { return d.name })
	total, want := int64(0), int64(0)
	for i := range datasets {
		d, start := &datasets[i], time.Now()
		r, err := t.importOne(ctx, d)
		if err != nil {
			return err
		}
		key := strings.Join(d.key, ", ")
		if key == "" {
			key = "none"
		}
		total, want = total+r.Rows, want+d.rows
		list(d.name, count(r.Rows), key, took(time.Since(start)))
	}
	t.equal("rows imported", total, want)
	return nil
}

func (t *tour) importOne(ctx context.Context, d *ownDataset) (engine.ImportResult, error) {
	r, err := t.lake.importFiles(ctx, d.name, d.files, []string{d.first})
	switch lake.CodeOf(err) {
	case lake.CodeKeyConflict, lake.CodeInvalidRequest: // not unique, null, or of a type that cannot be a key
		return t.lake.importFiles(ctx, d.name, d.files, nil)
	}
	if err == nil {
		d.key = []string{d.first}
	}
	return r, err
}

// askOwn counts each dataset and groups one by a column of few values.
func (t *tour) askOwn(ctx context.Context, datasets []ownDataset) error {
	t.step("Ask: count every dataset, and its most frequent values")
	for _, d := range datasets {
		a, err := t.lake.ask(ctx, "select count(*) from "+lake.QuoteIdent(d.name))
		if err != nil {
			return err
		}
		got, err := integer(a.rows[0][0])
		if err != nil {
			return err
		}
		t.check(got == d.rows, "%s has the %s rows of its files (%s)", d.name, count(d.rows), took(a.elapsed))
		if err := t.frequent(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// frequent prints the most frequent values of the first column with few of them.
func (t *tour) frequent(ctx context.Context, d ownDataset) error {
	about, err := t.lake.describe(ctx, d.name)
	if err != nil {
		return err
	}
	for _, c := range about.Columns {
		if c.Type != "VARCHAR" && c.Type != "BOOLEAN" || slices.Contains(d.key, c.Name) {
			continue
		}
		column := lake.QuoteIdent(c.Name)
		a, err := t.lake.ask(ctx, fmt.Sprintf("select %[1]s, count(*) as n from %[2]s group by %[1]s order by n desc, %[1]s limit 3", column, lake.QuoteIdent(d.name)))
		if err != nil {
			return err
		}
		var parts []string
		for _, row := range a.rows {
			parts = append(parts, fmt.Sprintf("%v %v", row[0], row[1]))
		}
		t.say("%s by %s: %s (%s)", d.name, c.Name, strings.Join(parts, ", "), took(a.elapsed))
		return nil
	}
	return nil
}

// sampleRows is how many rows of somebody's dataset the tour changes.
const sampleRows = 100

// sample takes the first rows by key, each as the JSON that an upsert takes.
func (t *tour) sample(ctx context.Context, d *ownDataset) ([]map[string]any, error) {
	order := ""
	if len(d.key) > 0 {
		order = " order by " + lake.QuoteIdent(d.key[0])
	}
	sample, err := t.lake.objects(ctx, fmt.Sprintf("select * from %s%s limit %d", lake.QuoteIdent(d.name), order, sampleRows))
	if err == nil && len(sample) == 0 {
		err = errors.New("the dataset's rows do not come back")
	}
	return sample, err
}

// changeOwn deletes the sample and puts it back (or appends it once more), and
// compacts in between; the count says each time what must be.
func (t *tour) changeOwn(ctx context.Context, d *ownDataset, sample []map[string]any) error {
	n := int64(len(sample))
	t.step(fmt.Sprintf("Change %s: %s rows", d.name, count(n)))
	before, err := baseFiles(t.Lake)
	if err != nil {
		return err
	}
	if d.key == nil {
		if _, err := t.lake.append(ctx, d.name, ndjsonOf(sample), ""); err != nil {
			return err
		}
		d.rows += n
	} else {
		if _, err := t.lake.remove(ctx, d.name, ndjsonOf(keysOf(sample, d.key))); err != nil {
			return err
		}
		d.rows -= n
	}
	if err := t.countIs(ctx, d, "after the change"); err != nil {
		return err
	}
	after, err := baseFiles(t.Lake)
	if err != nil {
		return err
	}
	t.check(after == before, "no base file was rewritten: all %d have their size and time", strings.Count(before, "\n"))

	t.step("Compact: fold the changes into the base")
	r, err := t.lake.compact(ctx, d.name)
	if err != nil {
		return err
	}
	t.check(r.DeltaRows == n && r.FinalRows == d.rows, "exact: base_rows %s, delta_rows %s, final_rows %s", count(r.BaseRows), count(r.DeltaRows), count(r.FinalRows))
	if d.key != nil {
		if _, err := t.lake.upsert(ctx, d.name, ndjsonOf(sample)); err != nil {
			return err
		}
		d.rows += n
	}
	return t.countIs(ctx, d, "after compaction")
}

func (t *tour) countIs(ctx context.Context, d *ownDataset, when string) error {
	a, err := t.lake.ask(ctx, "select count(*) from "+lake.QuoteIdent(d.name))
	if err != nil {
		return err
	}
	got, err := integer(a.rows[0][0])
	if err != nil {
		return err
	}
	t.equal("rows "+when, got, d.rows)
	return nil
}

func keysOf(rows []map[string]any, key []string) []map[string]any {
	out := make([]map[string]any, len(rows))
	for i, row := range rows {
		out[i] = map[string]any{}
		for _, k := range key {
			out[i][k] = row[k]
		}
	}
	return out
}

func ndjsonOf(rows []map[string]any) []byte {
	lines := make([]any, len(rows))
	for i, row := range rows {
		lines[i] = row
	}
	return ndjson(lines)
}
