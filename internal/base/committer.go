package base

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strconv"

	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/failpoint"
	"tarn/internal/lake"
	"tarn/internal/store"
)

type icebergFS = icebergio.IO

// committer is the catalog that a transaction of iceberg-go commits to: it names
// the staged files by their hashes, writes them and the metadata, and hands the
// metadata's key on. It serves one commit.
type committer struct {
	table       *Table
	meta        table.Metadata // of the table, with no time after the present
	view        *view
	makeCurrent func(ctx context.Context, metadataKey string) error
	files       int          // that the new snapshot must have
	rows        int64        // likewise
	evolved     *lake.Schema // that the table must have; nil: the same

	next   *Table // set once the commit is current
	failed error  // what CommitTable returned
}

var _ table.CatalogIO = (*committer)(nil)

// LoadTable is for retries of iceberg-go, which are off.
func (c *committer) LoadTable(context.Context, table.Identifier) (*table.Table, error) {
	return nil, lake.Errorf(lake.CodeInternal, "iceberg-go retries a commit")
}

func (c *committer) CommitTable(ctx context.Context, _ table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	next, err := c.commit(ctx, reqs, updates)
	if err != nil {
		c.failed = err
		return nil, "", err
	}
	c.next = next
	return next.meta, c.view.uri(next.key), nil
}

func (c *committer) commit(ctx context.Context, reqs []table.Requirement, updates []table.Update) (*Table, error) {
	t := c.table
	for _, r := range reqs {
		if err := r.Validate(c.meta); err != nil {
			return nil, lake.Errorf(lake.CodeInternal, "commit: %w", err)
		}
	}
	n, err := c.namer()
	if err != nil {
		return nil, err
	}
	for i, u := range updates {
		named, err := n.update(u)
		if err != nil {
			return nil, err
		}
		updates[i] = named
	}
	meta, err := table.UpdateTableMetadata(c.meta, updates, c.view.uri(t.key))
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "commit: %w", err)
	}
	next, body, err := newTable(t.fs, t.folder, t.number+1, meta)
	if err != nil {
		return nil, err
	}
	if err := c.check(ctx, next); err != nil {
		return nil, err
	}
	for _, f := range n.files {
		if err := t.fs.create(ctx, f.key, f.body); err != nil {
			return nil, err
		}
		failpoint.Hit("base.manifest-created")
	}
	if err := t.fs.create(ctx, next.key, body); err != nil {
		return nil, err
	}
	failpoint.Hit("base.metadata-created")
	if err := c.makeCurrent(ctx, next.key); err != nil {
		return nil, err
	}
	failpoint.Hit("base.current")
	return next, nil
}

// namer knows the manifests of the current snapshot, with the ids that their rows have:
// what a new list says of them is not kept.
func (c *committer) namer() (*namer, error) {
	n := &namer{view: c.view, version: c.meta.Version(), named: map[string]iceberg.ManifestFile{}}
	s := c.meta.CurrentSnapshot()
	if s == nil || n.version < VersionVectors {
		return n, nil
	}
	manifests, err := s.Manifests(c.view)
	if err != nil {
		return nil, readFailed(s.ManifestList, err)
	}
	for _, m := range manifests {
		n.named[m.FilePath()] = m
	}
	return n, nil
}

// check reads the new snapshot back, before anything of it is written, and holds
// its counts against the plan's.
func (c *committer) check(ctx context.Context, next *Table) error {
	got, err := next.readContent(ctx, c.view, next.meta.CurrentSnapshot())
	if err != nil {
		return lake.Errorf(lake.CodeInternal, "commit: the new snapshot cannot be read: %w", err)
	}
	if len(got.files) != c.files || got.rows != c.rows {
		return lake.Errorf(lake.CodeInternal, "commit: the new snapshot has %d files and %d rows where %d and %d are due; nothing was committed",
			len(got.files), got.rows, c.files, c.rows)
	}
	if s := next.meta.CurrentSnapshot(); s != nil && s.Summary != nil {
		if total, ok := s.Summary.Properties["total-records"]; ok && total != strconv.FormatInt(got.rows, 10) {
			return lake.Errorf(lake.CodeInternal, "commit: the new snapshot's total-records is %s where its files have %d; nothing was committed", total, got.rows)
		}
	}
	want := c.table.schema
	if c.evolved != nil {
		want = *c.evolved
	}
	if !sameColumns(next.schema.Columns, want.Columns) || !slices.Equal(next.schema.Key, want.Key) {
		return lake.Errorf(lake.CodeInternal, "commit: the new metadata has the columns %v where %v are due; nothing was committed", next.schema.Columns, want.Columns)
	}
	next.mu.content = got
	return nil
}

// namer gives staged manifests and lists names with their hashes.
type namer struct {
	view    *view
	version int                             // Iceberg's, of the table
	named   map[string]iceberg.ManifestFile // by the old URI, as the newest list has it
	files   []namedFile                     // to be written, in this order
	// nextRowID is the first id that no snapshot took which was named.
	nextRowID int64
}

type namedFile struct {
	key  string
	body []byte
}

// update gives an update with the names that its files will have.
func (n *namer) update(u table.Update) (table.Update, error) {
	add, ok := as(u, table.NewAddSnapshotUpdate(nil))
	if !ok {
		return u, nil
	}
	snapshot := *add.Snapshot
	listKey, body, ok := n.view.staged(snapshot.ManifestList)
	if !ok {
		return nil, lake.Errorf(lake.CodeInternal, "commit: the manifest list %s was not staged", snapshot.ManifestList)
	}
	given, err := iceberg.ReadManifestList(bytes.NewReader(body))
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "commit: read back the manifest list: %w", err)
	}
	manifests := make([]iceberg.ManifestFile, len(given))
	for i, m := range given {
		manifests[i] = n.manifest(m)
	}
	if snapshot.FirstRowID != nil {
		first := max(*snapshot.FirstRowID, n.nextRowID)
		snapshot.FirstRowID = &first
	}
	var list bytes.Buffer
	if err := writeManifestList(n.version, &list, &snapshot, manifests); err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "commit: rewrite the manifest list: %w", err)
	}
	if err := n.keep(list.Bytes(), &snapshot, given); err != nil {
		return nil, err
	}
	key := hashedAvro(listKey, store.HashBytes(list.Bytes()))
	n.file(key, list.Bytes())
	snapshot.ManifestList = n.view.uri(key)
	return table.NewAddSnapshotUpdate(&snapshot), nil
}

// writeManifestList writes the list of a snapshot. In version 3 a list gives the rows of new
// manifests their ids, from the snapshot's first one on, in the order of the manifests.
func writeManifestList(version int, out io.Writer, s *table.Snapshot, manifests []iceberg.ManifestFile) error {
	firstRowID := int64(0)
	if s.FirstRowID != nil {
		firstRowID = *s.FirstRowID
	}
	return iceberg.WriteManifestList(version, out, s.SnapshotID, s.ParentSnapshotID, &s.SequenceNumber, firstRowID, manifests)
}

// keep remembers the manifests of a list that was written anew, and has the snapshot take the
// ids that it gives to rows: to those of manifests that are new, or are of before the table
// had ids. What another program says of ids is not kept: DuckDB 1.5 writes some that are
// none, and takes none for rows of before.
func (n *namer) keep(list []byte, s *table.Snapshot, given []iceberg.ManifestFile) error {
	written, err := iceberg.ReadManifestList(bytes.NewReader(list))
	if err != nil {
		return lake.Errorf(lake.CodeInternal, "commit: read back the manifest list: %w", err)
	}
	if len(written) != len(given) {
		return lake.Errorf(lake.CodeInternal, "commit: the manifest list has %d manifests where %d are due", len(written), len(given))
	}
	for i, m := range given {
		was, w := n.named[m.FilePath()], written[i]
		n.named[m.FilePath()] = w
		if w.FirstRowID() == nil || was != nil && was.FirstRowID() != nil {
			continue
		}
		added := max(*s.AddedRows, *w.FirstRowID()+w.ExistingRows()+w.AddedRows()-*s.FirstRowID)
		s.AddedRows = &added
	}
	if s.FirstRowID != nil {
		n.nextRowID = *s.FirstRowID + *s.AddedRows
	}
	return nil
}

// manifest gives the entry of a manifest under its new name; one that was there
// before keeps its own.
func (n *namer) manifest(m iceberg.ManifestFile) iceberg.ManifestFile {
	if named, done := n.named[m.FilePath()]; done {
		return named
	}
	old, body, staged := n.view.staged(m.FilePath())
	if !staged {
		return m
	}
	key := hashedAvro(old, store.HashBytes(body))
	n.file(key, body)
	return iceberg.NewManifestFile(m.Version(), n.view.uri(key), m.Length(), m.PartitionSpecID(), m.SnapshotID()).
		SequenceNum(m.SequenceNum(), m.MinSequenceNum()).Content(m.ManifestContent()).
		AddedFiles(m.AddedDataFiles()).ExistingFiles(m.ExistingDataFiles()).DeletedFiles(m.DeletedDataFiles()).
		AddedRows(m.AddedRows()).ExistingRows(m.ExistingRows()).DeletedRows(m.DeletedRows()).
		Partitions(m.Partitions()).KeyMetadata(m.KeyMetadata()).Build()
}

func (n *namer) file(key string, body []byte) {
	n.files = append(n.files, namedFile{key, body})
	n.view.put(key, body) // for the reading back
}

// as is a type assertion to the type of the sample, which iceberg-go does not
// export.
func as[T any](u table.Update, _ T) (T, bool) {
	t, ok := u.(T)
	return t, ok
}
