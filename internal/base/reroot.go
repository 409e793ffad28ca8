package base

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// Root is the URI of the lake as Iceberg's metadata records it, which is not where
// the lake is if it was moved.
func (t *Table) Root() string { return t.root }

// Reroot writes the metadata of the same table under another root, the URI of the
// lake where it is now, and gives the table as it is then: its current snapshot
// alone, and the owner's where it is attached, with the same id, files, sequence numbers and counts. No data file is
// copied; position delete files are, as they name data files by their locations.
//
// Nothing refers to what was written until the new MetadataKey stands in the catalog.
func (t *Table) Reroot(ctx context.Context, root string) (*Table, error) {
	before, err := t.content(ctx)
	if err != nil {
		return nil, err
	}
	r := &rerooter{table: t, root: root, from: t.fs.view(ctx, t.root), manifests: map[string]iceberg.ManifestFile{}, files: map[string]iceberg.DataFile{}}
	r.to = namer{view: t.fs.view(ctx, root)}
	meta, err := r.metadata(ctx)
	if err != nil {
		return nil, lake.Step("reroot "+t.key, err)
	}
	next, body, err := newTable(t.fs, t.folder, t.number+1, meta)
	if err != nil {
		return nil, lake.Step("reroot "+t.key, err)
	}
	check := &committer{table: t, view: r.to.view, files: len(before.files), rows: before.rows}
	if err := check.check(ctx, next); err != nil {
		return nil, err
	}
	for _, f := range r.to.files {
		if err := t.fs.create(ctx, f.key, f.body); err != nil {
			return nil, err
		}
	}
	return next, t.fs.create(ctx, next.key, body)
}

// rerooter makes one table's metadata anew.
type rerooter struct {
	table *Table
	root  string
	from  *view // reads what is there
	to    namer // of what is written

	// What was written for manifests and files, by their old locations: two snapshots share
	// most of them.
	manifests map[string]iceberg.ManifestFile // nil: there is nothing live in it
	files     map[string]iceberg.DataFile
}

// metadata is the table's metadata under the new root.
func (r *rerooter) metadata(ctx context.Context) (table.Metadata, error) {
	t := r.table
	body, err := t.fs.read(ctx, t.key)
	if err != nil {
		return nil, err
	}
	m, err := decodeMetadata(body)
	if err != nil {
		return nil, damaged(t.key, "%w", err)
	}
	m["location"] = r.root + "/" + t.folder
	m["last-updated-ms"] = max(time.Now().UnixMilli(), t.meta.LastUpdatedMillis())
	for _, history := range []string{"metadata-log", "statistics", "partition-statistics"} {
		delete(m, history) // of what is under the old root
	}
	lists := map[string]string{} // of the snapshots that stay, by their ids
	for _, stays := range []*table.Snapshot{t.meta.CurrentSnapshot(), t.meta.SnapshotByName(attachedTag)} {
		if stays == nil || lists[fmt.Sprint(stays.SnapshotID)] != "" {
			continue
		}
		if lists[fmt.Sprint(stays.SnapshotID)], err = r.manifestList(ctx, stays); err != nil {
			return nil, err
		}
	}
	stays := func(entry any) bool {
		e, ok := entry.(map[string]any)
		return ok && lists[fmt.Sprint(e["snapshot-id"])] != ""
	}
	if len(lists) > 0 {
		m["snapshots"] = only(m["snapshots"], stays)
		m["snapshot-log"] = only(m["snapshot-log"], stays)
		for _, s := range m["snapshots"].([]any) {
			s := s.(map[string]any)
			s["manifest-list"] = lists[fmt.Sprint(s["snapshot-id"])]
		}
		if refs, ok := m["refs"].(map[string]any); ok {
			for name, ref := range refs {
				if !stays(ref) {
					delete(refs, name)
				}
			}
		}
	}
	return parseMetadata(m)
}

// only gives the entries of a JSON array that are wanted.
func only(list any, wanted func(any) bool) []any {
	out := []any{}
	entries, _ := list.([]any)
	for _, e := range entries {
		if wanted(e) {
			out = append(out, e)
		}
	}
	return out
}

// manifestList writes a snapshot's manifests and their list anew, and gives the
// list's URI.
func (r *rerooter) manifestList(ctx context.Context, s *table.Snapshot) (string, error) {
	manifests, err := s.Manifests(r.from)
	if err != nil {
		return "", readFailed(s.ManifestList, err)
	}
	version := r.table.meta.Version()
	if s.FirstRowID == nil { // its rows have no ids, as the table was upgraded since
		version = VersionDefault
	}
	var out []iceberg.ManifestFile
	for _, m := range manifests {
		made, done := r.manifests[m.FilePath()]
		if !done {
			if made, err = r.manifest(ctx, version, m); err != nil {
				return "", err
			}
			r.manifests[m.FilePath()] = made
		}
		if made != nil {
			out = append(out, made)
		}
	}
	var list bytes.Buffer
	if err := writeManifestList(version, &list, s, out); err != nil {
		return "", lake.Errorf(lake.CodeInternal, "write the manifest list: %w", err)
	}
	return r.write(fmt.Sprintf("snap-%d-0-%s.avro", s.SnapshotID, uuid.NewString()), list.Bytes()), nil
}

// write stages a file of the metadata folder and gives its URI.
func (r *rerooter) write(name string, body []byte) string {
	key := hashedAvro(r.table.folder+"/metadata/"+name, store.HashBytes(body))
	r.to.file(key, body)
	return r.to.view.uri(key)
}

// manifest writes a manifest with the live entries of another, nil where there are
// none: who added a file when stays as it was.
func (r *rerooter) manifest(ctx context.Context, version int, m iceberg.ManifestFile) (iceberg.ManifestFile, error) {
	t := r.table
	var body bytes.Buffer
	w, err := iceberg.NewManifestWriter(version, &body, t.meta.PartitionSpec(), t.meta.CurrentSchema(), m.SnapshotID(), iceberg.WithManifestWriterContent(m.ManifestContent()))
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "write a manifest: %w", err)
	}
	files, rows := int32(0), int64(0)
	for entry, err := range m.Entries(r.from, true) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, readFailed(m.FilePath(), err)
		}
		old := entry.DataFile()
		df, done := r.files[old.FilePath()]
		if !done {
			if df, err = r.dataFile(ctx, old); err != nil {
				return nil, err
			}
			r.files[old.FilePath()] = df
		}
		snapshot := entry.SnapshotID()
		b := iceberg.NewManifestEntryBuilder(iceberg.EntryStatusEXISTING, &snapshot, df).SequenceNum(entry.SequenceNum())
		if n := entry.FileSequenceNum(); n != nil {
			b.FileSequenceNum(*n)
		}
		if err := w.Existing(b.Build()); err != nil {
			return nil, lake.Errorf(lake.CodeInternal, "write a manifest: %w", err)
		}
		files, rows = files+1, rows+df.Count()
	}
	if files == 0 {
		return nil, nil
	}
	if err := w.Close(); err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "write a manifest: %w", err)
	}
	uri := r.write(uuid.NewString()+"-m0.avro", body.Bytes())
	return iceberg.NewManifestFile(m.Version(), uri, int64(body.Len()), m.PartitionSpecID(), m.SnapshotID()).
		SequenceNum(m.SequenceNum(), m.MinSequenceNum()).Content(m.ManifestContent()).
		AddedFiles(0).ExistingFiles(files).DeletedFiles(0).AddedRows(0).ExistingRows(rows).DeletedRows(0).
		Partitions(m.Partitions()).KeyMetadata(m.KeyMetadata()).Build(), nil
}

// dataFile is a data file, or position delete file, as a manifest under the new
// root has it.
func (r *rerooter) dataFile(ctx context.Context, df iceberg.DataFile) (iceberg.DataFile, error) {
	key, err := r.from.key(df.FilePath())
	if err != nil {
		return nil, err
	}
	if IsVector(df) {
		return r.vector(ctx, df, key)
	}
	size, lower, upper := df.FileSizeBytes(), df.LowerBoundValues(), df.UpperBoundValues()
	if df.ContentType() == iceberg.EntryContentPosDeletes {
		var body []byte
		if key, body, err = r.deletes(ctx, key); err != nil {
			return nil, err
		}
		size = int64(len(body))
		lower, upper = r.bounds(lower), r.bounds(upper)
	}
	b, err := builderOf(df, r.to.view.uri(key), size)
	if err != nil {
		return nil, err
	}
	b.LowerBoundValues(lower).UpperBoundValues(upper)
	if of := df.ReferencedDataFile(); of != nil {
		uri, err := r.moved(*of)
		if err != nil {
			return nil, err
		}
		b.ReferencedDataFile(uri)
	}
	return b.Build(), nil
}

// moved is a location under the new root.
func (r *rerooter) moved(uri string) (string, error) {
	key, err := r.from.key(uri)
	return r.to.view.uri(key), err
}

// bounds gives bounds with that of file_path under the new root, or without it where
// it was cut short: unbounded is always right.
func (r *rerooter) bounds(of map[int][]byte) map[int][]byte {
	out := map[int][]byte{}
	for id, b := range of {
		if id == filePathID {
			uri, err := r.moved(string(b))
			if err != nil {
				continue
			}
			b = []byte(uri)
		}
		out[id] = b
	}
	return out
}
