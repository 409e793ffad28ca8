package upkeep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/apache/arrow-go/v18/parquet/file"

	"tarn/internal/base"
	"tarn/internal/catalog"
	"tarn/internal/delta"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// Finding is one thing that is wrong.
type Finding struct {
	Key     string // the object, or the dataset
	Problem string
}

// Report says what Verify read and what is wrong.
type Report struct {
	CatalogVersions int
	Datasets        int // of the newest version
	Objects         int // durable objects read whole
	Bytes           int64
	Rows            int64 // in the bases of the newest version
	Unreachable     int   // objects that no version reaches; the next upkeep collects them
	Findings        []Finding
}

// Verifier reads everything durable of a lake: each byte against its hash, each
// count against what is counted, each reference against what is there.
type Verifier struct {
	Store    store.Store
	FS       *base.FS                // of its own: what others have read and keep in memory proves nothing
	Progress func(done, total int64) // objects; may be nil

	report Report
	sizes  map[string]int64 // of the objects that are there
	seen   map[string]bool
	parts  map[string]lake.Delta // a delta of each transaction, by its uuid
}

// Verify reads the whole lake. Damage is a finding, not an error; an error means
// that it could not go on. No collection may run meanwhile.
func (v *Verifier) Verify(ctx context.Context) (Report, error) {
	v.sizes, v.seen, v.parts = map[string]int64{}, map[string]bool{}, map[string]lake.Delta{}
	for info, err := range v.Store.List(ctx, "", "") {
		if err != nil {
			return v.report, lake.Step("verify: list", err)
		}
		v.sizes[info.Key] = info.Size
	}
	var newest format.Version
	last := int64(0)
	for n, err := range catalog.Versions(ctx, v.Store) {
		if err != nil {
			return v.report, lake.Step("verify: list catalog versions", err)
		}
		if last > 0 && n != last+1 {
			err := lake.Errorf(lake.CodeDamaged, "the version is missing, and %s is there", catalog.Key(n))
			if err := v.found(ctx, catalog.Key(last+1), err); err != nil {
				return v.report, err
			}
		}
		last = n
		v.report.CatalogVersions++
		v.read(catalog.Key(n))
		version, err := catalog.Read(ctx, v.Store, n)
		if err != nil {
			if err := v.found(ctx, catalog.Key(n), err); err != nil {
				return v.report, err
			}
			continue
		}
		if newest.Number > 0 {
			if err := catalog.Follows(newest, version); err != nil {
				if err := v.found(ctx, catalog.Key(n), err); err != nil {
					return v.report, err
				}
			}
		}
		newest = version
		for _, e := range version.Datasets {
			if err := v.table(ctx, e); err != nil {
				return v.report, err
			}
		}
	}
	v.report.Datasets = len(newest.Datasets)
	for _, e := range newest.Datasets {
		if err := v.current(ctx, e); err != nil {
			return v.report, err
		}
	}
	if err := v.otherDeltas(ctx); err != nil {
		return v.report, err
	}
	for key := range v.sizes {
		if !v.seen[key] {
			v.report.Unreachable++
		}
	}
	return v.report, nil
}

// otherDeltas reads the deltas that no dataset of the newest version has, as older
// versions may, and those of a log that could not be opened.
func (v *Verifier) otherDeltas(ctx context.Context) error {
	for _, key := range slices.Sorted(maps.Keys(v.sizes)) {
		table, sequence, ok := delta.ParseKey(key)
		if !ok || v.seen[key] {
			continue
		}
		v.read(key)
		var h format.DeltaHeader
		o, err := v.Store.Open(ctx, key)
		if err == nil {
			h, err = format.ReadDeltaHeader(key, o, o.Size())
			o.Close()
		}
		if err == nil && (h.TableUUID != table || h.Sequence != sequence) {
			err = lake.Errorf(lake.CodeDamaged, "it holds delta %d of table %s", h.Sequence, h.TableUUID)
		}
		if err != nil {
			if err := v.found(ctx, key, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// found takes an error as a finding, unless it is the end of ctx.
func (v *Verifier) found(ctx context.Context, key string, err error) error {
	if ctx.Err() != nil {
		return lake.Step("verify", ctx.Err())
	}
	v.report.Findings = append(v.report.Findings, Finding{key, err.Error()})
	return nil
}

func (v *Verifier) read(key string) {
	if !v.seen[key] {
		v.seen[key] = true
		v.report.Objects++
		v.report.Bytes += v.sizes[key]
		if v.Progress != nil {
			v.Progress(int64(v.report.Objects), int64(len(v.sizes)))
		}
	}
}

// table checks all that one metadata file reaches.
func (v *Verifier) table(ctx context.Context, e format.DatasetEntry) error {
	if v.seen[e.Metadata] {
		return nil
	}
	v.read(e.Metadata)
	// From the store, not from what the FS has read before.
	if err := base.VerifyFile(ctx, v.Store, e.Metadata); err != nil {
		return v.found(ctx, e.Metadata, err)
	}
	t, err := base.Load(ctx, v.FS, e.Metadata)
	if err != nil {
		return v.found(ctx, e.Metadata, err)
	}
	keys, err := t.Reachable(ctx)
	if err != nil {
		return v.found(ctx, e.Metadata, err)
	}
	for _, key := range keys {
		if v.seen[key] {
			continue
		}
		v.read(key)
		if err := base.VerifyFile(ctx, v.Store, key); err != nil {
			if err := v.found(ctx, key, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// current checks the counts of a dataset's current base, and its delta log.
func (v *Verifier) current(ctx context.Context, e format.DatasetEntry) error {
	name := e.LakeName().String()
	log, deltas, err := delta.Open(ctx, v.Store, e.TableUUID, e.TrimmedThrough, 0)
	if err != nil {
		if err := v.found(ctx, name, err); err != nil {
			return err
		}
	} else {
		log.Close()
	}
	last := e.TrimmedThrough
	for _, d := range deltas {
		v.read(d.Key)
		last = d.Sequence
		if err := v.part(e.TableUUID, d); err != nil {
			if err := v.found(ctx, d.Key, err); err != nil {
				return err
			}
		}
	}
	t, err := base.Load(ctx, v.FS, e.Metadata)
	if err != nil {
		return nil // found by table
	}
	if deltas != nil && t.FoldedThrough() > last {
		err := lake.Errorf(lake.CodeDamaged, "the base contains changes up to %d, the delta log ends at %d", t.FoldedThrough(), last)
		if err := v.found(ctx, name, err); err != nil {
			return err
		}
	}
	files, err := t.Files(ctx)
	if err != nil {
		return v.found(ctx, e.Metadata, err)
	}
	for _, f := range files {
		rows, err := v.countRows(ctx, f.Key)
		if err == nil && rows != f.Rows {
			err = lake.Errorf(lake.CodeDamaged, "the file has %d rows, its manifest says %d", rows, f.Rows)
		}
		if err != nil {
			if err := v.found(ctx, f.Key, err); err != nil {
				return err
			}
		}
		v.report.Rows += f.Live()
	}
	return nil
}

// part holds a delta of a transaction against another of it: all say the same of it, and
// are at one place of the lake, so that whoever sees one sees all. That some are missing
// is no damage: then it was not committed (docs/design/transactions.md).
func (v *Verifier) part(tableUUID string, d lake.Delta) error {
	t := d.Transaction
	if t == nil {
		return nil
	}
	if !slices.Contains(t.Deltas, lake.TransactionDelta{TableUUID: tableUUID, Sequence: d.Sequence}) {
		return lake.Errorf(lake.CodeDamaged, "it is not among the deltas that it says its transaction %s has", t.UUID)
	}
	other, ok := v.parts[t.UUID]
	if !ok {
		v.parts[t.UUID] = d
		return nil
	}
	if !reflect.DeepEqual(other.Transaction, t) || other.LakePosition != d.LakePosition {
		return lake.Errorf(lake.CodeDamaged, "it and %s say different things of their transaction %s", other.Key, t.UUID)
	}
	return nil
}

// countRows counts a data file's rows by its row groups.
func (v *Verifier) countRows(ctx context.Context, key string) (int64, error) {
	o, err := v.Store.Open(ctx, key)
	if err != nil {
		return 0, err
	}
	defer o.Close()
	pf, err := file.NewParquetReader(o)
	if err != nil {
		return 0, fmt.Errorf("not a Parquet file: %w", err)
	}
	rows := int64(0)
	for i := range pf.NumRowGroups() {
		rows += pf.RowGroup(i).NumRows()
	}
	if rows != pf.NumRows() {
		return rows, errors.New("its footer and its row groups count differently")
	}
	return rows, nil
}
