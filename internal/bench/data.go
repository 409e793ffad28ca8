package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tarn/internal/demo/staffing"
	"tarn/internal/lake"
)

// The rows that are asked for, each a namespace with both tables.
const (
	clean0    = "clean"
	changed1  = "changed_1"
	changed10 = "changed_10"
	written0  = "written" // rows of the write sections
)

// sourceTable is one of the two tables: its key, and the column that changes touch.
type sourceTable struct {
	name, key     string
	changes, kind string
}

var tables = []sourceTable{
	{"timesheets", "timesheet_id", "hours_regular", "DECIMAL(5,2)"},
	{"candidates", "candidate_id", "pay_rate", "DECIMAL(10,2)"},
}

// variant is a namespace of which every step-th row is changed; 0 is none.
type variant struct {
	namespace string
	step      int
}

var variants = []variant{{clean0, 0}, {changed1, 100}, {changed10, 10}}

// deltas is how many requests the changes of a table come in.
const deltas = 10

func datasetOf(namespace, table string) lake.Name {
	return lake.Name{Namespace: namespace, Dataset: table}
}

// makeData makes the Parquet files of everything: what is imported, the changes
// as request bodies, and, for the peers, the rows with these changes merged in.
// DuckDB makes the latter two, so that the lake's merging is held against
// another's.
func (b *bench) makeData(ctx context.Context) (err error) {
	set, err := staffing.New(b.o.Seed, b.o.Scale)
	if err != nil {
		return err
	}
	b.written = newLedger(set)
	b.step("make the data at scale %v", b.o.Scale)
	dir := filepath.Join(b.dir, "data")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	maker, err := b.startPeer(ctx, PeerParquet, "maker")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, maker.close()) }()
	for _, t := range tables {
		st, _ := set.Table(t.name)
		path, err := set.WriteParquet(ctx, st, dir, nil)
		if err != nil {
			return err
		}
		switch t.name {
		case "timesheets":
			b.timesheets = st.Rows
		case "candidates":
			b.candidates = st.Rows
		}
		for _, v := range variants {
			if err := b.makeVariant(maker, t, v, path, dir); err != nil {
				return err
			}
		}
	}
	b.report.TimesheetRows, b.report.CandidateRows = b.timesheets, b.candidates
	b.report.DuckDB = maker.version
	return nil
}

// makeVariant writes the changes of a variant and the merged rows.
func (b *bench) makeVariant(maker *peer, t sourceTable, v variant, path, dir string) error {
	name := datasetOf(v.namespace, t.name).String()
	if b.files[name] = path; v.step == 0 {
		return nil
	}
	change := fmt.Sprintf("(%s + 0.25)::%s", t.changes, t.kind)
	write := func(sql, to string) (string, error) {
		to = filepath.Join(dir, fmt.Sprintf("%s.%s.parquet", name, to))
		return to, maker.exec(fmt.Sprintf("COPY (%s) TO %s (FORMAT parquet)", sql, lake.QuoteString(to)))
	}
	from := "read_parquet(" + lake.QuoteString(path) + ")"
	for i := range deltas {
		to, err := write(fmt.Sprintf("SELECT * REPLACE (%s AS %s) FROM %s WHERE %s %% %d = 0 AND %s // %d %% %d = %d",
			change, t.changes, from, t.key, v.step, t.key, v.step, deltas, i), fmt.Sprintf("change-%d", i))
		if err != nil {
			return err
		}
		b.changes[name] = append(b.changes[name], to)
	}
	to, err := write(fmt.Sprintf("SELECT * REPLACE (CASE WHEN %s %% %d = 0 THEN %s ELSE %s END AS %s) FROM %s",
		t.key, v.step, change, t.changes, t.changes, from), "merged")
	b.files[name+" merged"] = to
	return err
}

// fill imports every namespace and changes those that are to be changed.
func (b *bench) fill(ctx context.Context, d *door) error {
	for _, namespace := range []string{clean0, changed1, changed10, written0} {
		for _, t := range tables {
			name := datasetOf(namespace, t.name)
			b.step("import %s", name)
			path := b.files[name.String()]
			if namespace == written0 {
				path = b.files[datasetOf(clean0, t.name).String()]
			}
			took, err := d.importFile(ctx, name, []string{t.key}, path)
			if err != nil {
				return err
			}
			b.report.addImport(namespace, t.name, b.rowsOf(t), took)
			if err := b.change(ctx, d, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// change sends the changes of a dataset.
func (b *bench) change(ctx context.Context, d *door, name lake.Name) error {
	for _, path := range b.changes[name.String()] {
		if err := d.upsertFile(ctx, name, path); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) rowsOf(t sourceTable) int64 {
	if t.name == "timesheets" {
		return b.timesheets
	}
	return b.candidates
}

// baseFiles are the data files that the lake holds a dataset in.
func (b *bench) baseFiles(name lake.Name) ([]string, error) {
	pattern := filepath.Join(b.lakeDir(), "base", name.Namespace, name.Dataset+"-*", "data", "*.parquet")
	files, err := filepath.Glob(pattern)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no base file of %s: %s", name, pattern)
	}
	return files, err
}

// peers are plain DuckDB in each of its modes.
type peers struct{ parquet, plain, compressed *peer }

func (p *peers) close() error {
	var errs []error
	for _, one := range []*peer{p.parquet, p.plain, p.compressed} {
		if one != nil {
			errs = append(errs, one.close())
		}
	}
	return errors.Join(errs...)
}

func (b *bench) startPeer(ctx context.Context, mode PeerMode, scratch string) (*peer, error) {
	var command []string
	if b.o.Command != nil {
		command = b.o.command("bench-peer")
	}
	return startPeer(ctx, command, peerOpen{
		Mode: mode, Scratch: filepath.Join(b.dir, "scratch", scratch), Threads: b.o.threads(), MemoryBytes: b.o.memoryBytes(),
	})
}

// startPeers gives every peer the files that the lake wrote, and the merged rows
// besides.
func (b *bench) startPeers(ctx context.Context) (err error) {
	for _, p := range []struct {
		to   **peer
		mode PeerMode
	}{{&b.peers.parquet, PeerParquet}, {&b.peers.plain, PeerPlain}, {&b.peers.compressed, PeerCompressed}} {
		b.step("start DuckDB (%s)", p.mode)
		if *p.to, err = b.startPeer(ctx, p.mode, string(p.mode)); err != nil {
			return err
		}
		if err := b.loadPeer(*p.to); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) loadPeer(p *peer) error {
	var took time.Duration
	for _, t := range tables {
		files, err := b.baseFiles(datasetOf(clean0, t.name))
		if err != nil {
			return err
		}
		one, err := p.load(peerLoad{Schema: clean0, Table: t.name, Files: files})
		if err != nil {
			return err
		}
		took += one
	}
	if p.mode != PeerParquet {
		b.report.addPeerHeld(p.mode, b.timesheets+b.candidates, p.memory, took)
		return nil
	}
	for _, v := range variants[1:] {
		for _, t := range tables {
			merged := b.files[datasetOf(v.namespace, t.name).String()+" merged"]
			if _, err := p.load(peerLoad{Schema: v.namespace, Table: t.name, Files: []string{merged}}); err != nil {
				return err
			}
		}
	}
	return nil
}
