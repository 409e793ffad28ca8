package base

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"tarn/internal/lake"
)

// Taken is a snapshot of an owner as the base: these files and no others.
type Taken struct {
	Keep          []lake.BaseFile // live data files of the table
	Add           []NewFile
	Deletes       []NewDeletes // of files of Keep and Add; no other is left
	Attached      *Attachment  // nil: the table is tarn's own from now on
	FoldedThrough int64        // changes up to it are in the base, or, where ContentAt is larger, stay on top
	ContentAt     int64        // the sequence of the commit
}

// Take commits a snapshot of an owner's table as the base. Where it has the files that the
// base has, and neither has deletes, only the metadata changes. The rest is as with Commit.
func (t *Table) Take(ctx context.Context, k Taken, makeCurrent func(ctx context.Context, metadataKey string) error) (*Table, error) {
	before, err := t.content(ctx)
	if err != nil {
		return nil, err
	}
	meta, err := present(t.meta, time.Now())
	if err != nil {
		return nil, err
	}
	w := takenWriter{table: t, meta: meta, view: t.fs.view(ctx, t.root), taken: k, before: before, stays: map[string]bool{}}
	for _, f := range k.Keep {
		w.stays[f.Key] = true
	}
	properties := iceberg.Properties{propertyFolded: strconv.FormatInt(k.FoldedThrough, 10)}
	if k.Attached != nil {
		text, err := json.Marshal(k.Attached)
		if err != nil {
			return nil, lake.Errorf(lake.CodeInternal, "commit: %w", err)
		}
		properties[propertyAttached] = string(text)
	}
	if k.ContentAt > 0 {
		properties[propertyContentAt] = strconv.FormatInt(k.ContentAt, 10)
	}
	updates := []table.Update{table.NewSetPropertiesUpdate(properties)}
	current := meta.CurrentSnapshot()
	if w.changes() {
		if current, err = w.snapshot(); err != nil {
			return nil, commitFailed(err)
		}
		updates = append(updates, table.NewAddSnapshotUpdate(current), table.NewSetSnapshotRefUpdate(table.MainBranch, current.SnapshotID, table.BranchRef, 0, 0, 0))
	}
	if current != nil && k.Attached != nil {
		updates = append(updates, table.NewSetSnapshotRefUpdate(attachedTag, current.SnapshotID, table.TagRef, 0, 0, 0))
	}
	files, rows := w.totals()
	c := &committer{table: t, meta: meta, view: w.view, makeCurrent: makeCurrent, files: files, rows: rows}
	return c.commit(ctx, nil, updates)
}

// takenWriter writes the manifests of a snapshot. iceberg-go's transactions have no operation
// that takes deletion vectors away, or adds them with their data files.
type takenWriter struct {
	table  *Table
	meta   table.Metadata
	view   *view
	taken  Taken
	before *content
	stays  map[string]bool

	manifests []iceberg.ManifestFile
}

func (w *takenWriter) changes() bool {
	return len(w.taken.Add)+len(w.taken.Deletes)+len(w.before.deletes) > 0 || len(w.taken.Keep) != len(w.before.files)
}

// totals are the data files and their rows, before deletes, that the snapshot has.
func (w *takenWriter) totals() (files int, rows int64) {
	for _, f := range w.before.files {
		if w.stays[f.base.Key] {
			files, rows = files+1, rows+f.base.Rows
		}
	}
	for _, f := range w.taken.Add {
		files, rows = files+1, rows+f.Rows
	}
	return files, rows
}

// snapshot stages manifests, a list of them, and gives the snapshot.
func (w *takenWriter) snapshot() (*table.Snapshot, error) {
	s := &table.Snapshot{
		SnapshotID: rand.Int64(), SequenceNumber: w.meta.LastSequenceNumber() + 1, TimestampMs: max(time.Now().UnixMilli(), w.meta.LastUpdatedMillis()),
		Summary: w.summary(),
	}
	if p := w.meta.CurrentSnapshot(); p != nil {
		s.ParentSnapshotID = &p.SnapshotID
	}
	schema := w.meta.CurrentSchema().ID
	s.SchemaID = &schema
	if w.table.Vectors() {
		first, added := w.meta.NextRowID(), int64(0)
		s.FirstRowID, s.AddedRows = &first, &added // namer makes added what it is
	}
	for _, step := range []func(s *table.Snapshot) error{w.kept, w.added, w.deletes} {
		if err := step(s); err != nil {
			return nil, err
		}
	}
	var list bytes.Buffer
	if err := writeManifestList(w.meta.Version(), &list, s, w.manifests); err != nil {
		return nil, err
	}
	key := fmt.Sprintf("%s/metadata/snap-%d-%s.avro", w.table.folder, s.SnapshotID, uuid.NewString())
	w.view.put(key, list.Bytes())
	s.ManifestList = w.view.uri(key)
	return s, nil
}

// kept gives the manifests of data files that stay: those of which none leaves as they are,
// the others written anew.
func (w *takenWriter) kept(s *table.Snapshot) error {
	parent := w.meta.CurrentSnapshot()
	if parent == nil {
		return nil
	}
	manifests, err := parent.Manifests(w.view)
	if err != nil {
		return err
	}
	for _, m := range manifests {
		if m.ManifestContent() != iceberg.ManifestContentData {
			continue
		}
		var live []iceberg.ManifestEntry
		leaves := false
		for e, err := range m.Entries(w.view, true) {
			if err != nil {
				return err
			}
			key, err := w.view.key(e.DataFile().FilePath())
			if err != nil {
				return err
			}
			live, leaves = append(live, e), leaves || !w.stays[key]
		}
		switch {
		case len(live) == 0:
			continue
		case !leaves:
			w.manifests = append(w.manifests, m)
			continue
		}
		err := w.write(s, iceberg.ManifestContentData, func(out *iceberg.ManifestWriter) error {
			for _, e := range live {
				key, err := w.view.key(e.DataFile().FilePath())
				if err != nil {
					return err
				}
				put := out.Existing
				if !w.stays[key] {
					put = out.Delete
				}
				if err := put(e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// added writes the manifest of new data files.
func (w *takenWriter) added(s *table.Snapshot) error {
	if len(w.taken.Add) == 0 {
		return nil
	}
	return w.write(s, iceberg.ManifestContentData, func(out *iceberg.ManifestWriter) error {
		for _, f := range w.taken.Add {
			if err := out.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &s.SnapshotID, nil, nil, f.ice)); err != nil {
				return err
			}
		}
		return nil
	})
}

// deletes writes the manifest of delete files: those that come, and that all others go.
func (w *takenWriter) deletes(s *table.Snapshot) error {
	if len(w.taken.Deletes)+len(w.before.deletes) == 0 {
		return nil
	}
	return w.write(s, iceberg.ManifestContentDeletes, func(out *iceberg.ManifestWriter) error {
		for _, d := range w.before.deletes {
			if err := out.Delete(iceberg.NewManifestEntry(iceberg.EntryStatusDELETED, &s.SnapshotID, &d.reach.seq, &d.reach.seq, d.ice)); err != nil {
				return err
			}
		}
		for _, d := range w.taken.Deletes {
			if err := out.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &s.SnapshotID, nil, nil, d.ice)); err != nil {
				return err
			}
		}
		return nil
	})
}

// write stages one manifest.
func (w *takenWriter) write(s *table.Snapshot, content iceberg.ManifestContent, entries func(*iceberg.ManifestWriter) error) error {
	var out bytes.Buffer
	m, err := iceberg.NewManifestWriter(w.meta.Version(), &out, w.meta.PartitionSpec(), w.meta.CurrentSchema(), s.SnapshotID, iceberg.WithManifestWriterContent(content))
	if err != nil {
		return err
	}
	if err := entries(m); err != nil {
		return err
	}
	if err := m.Close(); err != nil {
		return err
	}
	key := fmt.Sprintf("%s/metadata/%s.avro", w.table.folder, uuid.NewString())
	w.view.put(key, out.Bytes())
	named, err := m.ToManifestFile(w.view.uri(key), int64(out.Len()))
	if err != nil {
		return err
	}
	w.manifests = append(w.manifests, named)
	return nil
}

// summary counts what the snapshot has, and what it changes.
func (w *takenWriter) summary() *table.Summary {
	n := map[string]int64{}
	kind := "position-delete-files"
	if w.table.Vectors() {
		kind = "dvs"
	}
	count := func(what string, files, rows, bytes int64) {
		n[what+"-data-files"] += files
		n[what+"-records"] += rows
		n[what+"-files-size"] += bytes
	}
	for _, f := range w.before.files {
		if w.stays[f.base.Key] {
			count("total", 1, f.base.Rows, f.base.Bytes)
		} else {
			count("deleted", 1, f.base.Rows, 0)
			n["removed-files-size"] += f.base.Bytes
		}
	}
	delete(n, "deleted-files-size")
	for _, f := range w.taken.Add {
		count("total", 1, f.Rows, f.Bytes)
		count("added", 1, f.Rows, f.Bytes)
	}
	for _, d := range w.before.deletes {
		n["removed-delete-files"]++
		n["removed-"+kind]++
		n["removed-position-deletes"] += d.ice.Count()
		n["removed-files-size"] += d.ice.FileSizeBytes()
	}
	for _, d := range w.taken.Deletes {
		for _, what := range []string{"total-delete-files", "added-delete-files", "added-" + kind} {
			n[what]++
		}
		for _, what := range []string{"total-position-deletes", "added-position-deletes"} {
			n[what] += d.ice.Count()
		}
		for _, what := range []string{"total-files-size", "added-files-size"} {
			n[what] += d.ice.FileSizeBytes()
		}
	}
	for _, what := range []string{"total-data-files", "total-records", "total-files-size", "total-delete-files", "total-position-deletes", "total-equality-deletes"} {
		n[what] += 0 // is said in any case
	}
	out := &table.Summary{Operation: table.OpOverwrite, Properties: iceberg.Properties{
		summaryKind: string(KindSync), propertyFolded: strconv.FormatInt(w.taken.FoldedThrough, 10),
	}}
	if at := w.taken.ContentAt; at > 0 {
		out.Properties[propertyContentAt] = strconv.FormatInt(at, 10)
	}
	for name, count := range n {
		out.Properties[name] = strconv.FormatInt(count, 10)
	}
	return out
}
