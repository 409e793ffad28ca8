package base

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"tarn/internal/lake"
)

// Marks is what the delete files that the commit brings, or takes away, have to be held
// against before it can be carried out; nil where it leaves them as they are. Paths are
// empty.
func (p *Proposal) Marks() *lake.ForeignDeletes { return p.marks }

// Marked are the files of Kept whose delete files are others after the commit.
func (p *Proposal) Marked() []lake.BaseFile {
	was := map[string][]lake.DeleteFile{}
	for _, f := range p.before.files {
		was[f.base.Key] = f.base.Deletes
	}
	var out []lake.BaseFile
	for _, f := range p.Kept {
		if !slices.EqualFunc(f.Deletes, was[f.Key], func(a, b lake.DeleteFile) bool { return a.Key == b.Key }) {
			out = append(out, f)
		}
	}
	return out
}

// readMarks finds the delete files of the commit, and which data files they may apply to in
// which of its snapshots.
func (p *Proposal) readMarks(ctx context.Context) error {
	m := &lake.ForeignDeletes{Whole: p.table.Vectors()}
	p.vectors = map[string]iceberg.DataFile{}
	pairs := 0
	theirs, files := map[string]int{}, map[string]int{}
	old := map[string]bool{}
	for _, d := range p.before.deletes {
		old[d.key] = true
	}
	for i, c := range p.stages {
		for _, d := range c.deletes {
			if old[d.key] {
				continue
			}
			at, seen := theirs[d.key]
			if !seen {
				if err := p.newDeletes(ctx, d); err != nil {
					return err
				}
				at = len(m.Theirs)
				theirs[d.key] = at
				m.Theirs = append(m.Theirs, lake.ForeignDelete{
					DeleteFile: lake.DeleteFile{Key: d.key, Bytes: d.bytes}, Rows: d.ice.Count(), Live: make([]bool, len(p.stages)),
				})
			}
			m.Theirs[at].Live[i] = true
		}
	}
	add := func(f dataFile) *lake.MarkedFile {
		at, seen := files[f.base.Key]
		if !seen {
			at = len(m.Files)
			files[f.base.Key] = at
			m.Files = append(m.Files, lake.MarkedFile{
				Key: f.base.Key, Location: f.ice.FilePath(), Rows: f.base.Rows, Snapshots: make([]lake.MarkSnapshot, len(p.stages)),
			})
		}
		return &m.Files[at]
	}
	for _, f := range p.before.files {
		add(f).Before = slices.Clone(f.base.Deletes)
	}
	for i, c := range p.stages {
		for _, f := range c.files {
			one := add(f)
			s := &one.Snapshots[i]
			s.Live = true
			for _, d := range f.base.Deletes {
				if at, ok := theirs[d.Key]; ok {
					if s.Theirs = append(s.Theirs, at); pairs >= maxMarkPairs {
						return lake.Errorf(lake.CodeTooLarge, "the commit has too many delete files: %d, which may be of %d data files", len(m.Theirs), len(m.Files)).
							WithHint("write fewer, or with bounds of file_path")
					}
					pairs++
				} else if k := slices.IndexFunc(one.Before, func(b lake.DeleteFile) bool { return b.Key == d.Key }); k >= 0 {
					s.Stays = append(s.Stays, k)
				}
			}
		}
	}
	if len(m.Theirs) > 0 || slices.ContainsFunc(m.Files, lake.MarkedFile.Concerned) {
		p.marks = m
	}
	return nil
}

// maxMarkPairs bounds how many delete files of a commit may be of how many data files
// together: each pair is looked at by itself.
const maxMarkPairs = 1 << 20

// newDeletes holds a position delete file of another program against what its manifest
// says of it. Its rows are another matter.
func (p *Proposal) newDeletes(ctx context.Context, d deleteFile) error {
	if _, err := p.own(d.ice.FilePath()); err != nil {
		return err
	}
	if d.ice.SpecID() != 0 {
		return refused("the partition spec %d", d.ice.SpecID())
	}
	if d.vector {
		p.vectors[d.key] = d.ice // which WriteVector reads
		return p.checkVectorEntry(d.ice)
	}
	if p.table.Vectors() {
		return refused("the position delete file %s: tables of format version %d have deletion vectors", d.key, p.meta.Version())
	}
	o, err := p.table.fs.store.Open(ctx, d.key)
	if err != nil {
		return absent(d.key, err)
	}
	defer o.Close()
	if o.Size() != d.ice.FileSizeBytes() {
		return lake.Errorf(lake.CodeRowsInvalid, "%s has %d bytes, and its manifest says %d", d.key, o.Size(), d.ice.FileSizeBytes())
	}
	columns, rows, err := parquetColumns(o)
	if err != nil {
		return lake.Errorf(lake.CodeRowsInvalid, "%s: %w", d.key, err)
	}
	if rows != d.ice.Count() {
		return lake.Errorf(lake.CodeRowsInvalid, "%s has %d rows, and its manifest says %d", d.key, rows, d.ice.Count())
	}
	for _, want := range []lake.Column{{Name: "file_path", ID: filePathID, Type: lake.Type{Kind: lake.Varchar}}, {Name: "pos", ID: posID, Type: lake.Type{Kind: lake.Bigint}}} {
		if !slices.ContainsFunc(columns, func(c lake.Column) bool { return c.ID == want.ID && c.Type.Equal(want.Type) }) {
			return lake.Errorf(lake.CodeRowsInvalid, "%s is no position delete file: it has no column %s, %s with the field id %d", d.key, want.Name, want.Type, want.ID)
		}
	}
	return nil
}

// posID is Iceberg's field id of pos in position delete files.
const posID = 2147483545

// Mark is a delete file, taken in, of one data file and one snapshot of a proposal.
type Mark struct {
	File     int // position in ForeignDeletes.Files
	Snapshot int
	NewDeletes
}

// TakeInMark is TakeInDeletes for a data file of a proposal.
func (p *Proposal) TakeInMark(ctx context.Context, path string, file, snapshot int, rows int64) (Mark, error) {
	d, err := p.table.TakeInDeletesAt(ctx, path, p.marks.Files[file].Location, rows)
	return Mark{file, snapshot, d}, err
}

// Mark puts delete files of the table's own in the place of those that the other program
// wrote: its snapshots stay what they are, and hold the same rows.
func (p *Proposal) Mark(ctx context.Context, marks []Mark) error {
	theirs := map[string]bool{}
	for _, d := range p.marks.Theirs {
		theirs[d.Key] = true
	}
	for i, s := range p.snapshots {
		if err := p.remark(s, i, theirs, marks); err != nil {
			return lake.Step("write delete manifests", err)
		}
		c, err := p.table.readContent(ctx, p.view, s)
		if err != nil {
			return err
		}
		p.countDeletes(s.Summary.Properties, i, c, marks)
		s.Summary, p.stages[i] = p.summary(s.Summary, c), c
	}
	if err := p.readAfter(ctx); err != nil {
		return err
	}
	for _, d := range p.content.deletes {
		if theirs[d.key] {
			return lake.Errorf(lake.CodeRowsInvalid, "the delete file %s is in a manifest of data files", d.key)
		}
	}
	now := map[string]lake.BaseFile{}
	for _, f := range p.content.files {
		now[f.base.Key] = f.base
	}
	for _, files := range [][]lake.BaseFile{p.Added, p.Kept} {
		for i, f := range files {
			files[i] = now[f.Key]
		}
	}
	return nil
}

// remark writes the manifest list of a snapshot anew: its data manifests, and those of
// delete files that name none of theirs, as they are, and one manifest of all else.
func (p *Proposal) remark(s *table.Snapshot, i int, theirs map[string]bool, marks []Mark) error {
	manifests, err := s.Manifests(p.view)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	w, err := iceberg.NewManifestWriter(p.meta.Version(), &out, p.meta.PartitionSpec(), p.meta.CurrentSchema(), s.SnapshotID, iceberg.WithManifestWriterContent(iceberg.ManifestContentDeletes))
	if err != nil {
		return err
	}
	stay, written := []iceberg.ManifestFile{}, 0
	for _, m := range manifests {
		entries, foreign, err := p.deleteEntries(m, theirs)
		if err != nil {
			return err
		}
		if !foreign {
			stay = append(stay, m)
			continue
		}
		for _, e := range entries {
			put := w.Existing
			if e.Status() == iceberg.EntryStatusDELETED {
				if e.SnapshotID() != s.SnapshotID {
					continue
				}
				put = w.Delete
			}
			if err := put(e); err != nil {
				return err
			}
			written++
		}
	}
	for at, k := range marks {
		replaced := func(other Mark) bool { return other.File == k.File && other.Snapshot <= i }
		switch {
		case k.Snapshot > i || !p.marks.Files[k.File].Snapshots[i].Live:
			continue
		case p.marks.Whole && slices.ContainsFunc(marks[at+1:], replaced):
			continue // they are in the order of the snapshots
		}
		if err := p.putMark(w, k, i); err != nil {
			return err
		}
		written++
	}
	if written > 0 {
		if err := w.Close(); err != nil {
			return err
		}
		key := fmt.Sprintf("%s/metadata/%s-deletes.avro", p.table.folder, uuid.NewString())
		p.view.put(key, out.Bytes())
		m, err := w.ToManifestFile(p.view.uri(key), int64(out.Len()))
		if err != nil {
			return err
		}
		stay = append(stay, m)
	}
	var body bytes.Buffer
	if err := writeManifestList(p.meta.Version(), &body, s, stay); err != nil {
		return err
	}
	key, err := p.view.key(s.ManifestList)
	if err != nil {
		return err
	}
	p.view.put(key, body.Bytes())
	return nil
}

// putMark writes the entry of a delete file, which is new in its own snapshot.
func (p *Proposal) putMark(w *iceberg.ManifestWriter, k Mark, i int) error {
	from := p.snapshots[k.Snapshot]
	if k.Snapshot == i {
		return w.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &from.SnapshotID, nil, nil, k.ice))
	}
	return w.Existing(iceberg.NewManifestEntry(iceberg.EntryStatusEXISTING, &from.SnapshotID, &from.SequenceNumber, &from.SequenceNumber, k.ice))
}

// deleteEntries gives the entries of a manifest that has delete files of theirs, without
// these.
func (p *Proposal) deleteEntries(m iceberg.ManifestFile, theirs map[string]bool) (left []iceberg.ManifestEntry, foreign bool, err error) {
	if m.ManifestContent() != iceberg.ManifestContentDeletes {
		return nil, false, nil
	}
	for e, err := range m.Entries(p.view, false) {
		if err != nil {
			return nil, false, err
		}
		key, err := p.view.key(e.DataFile().FilePath())
		if err != nil {
			return nil, false, err
		}
		if theirs[key] || IsVector(e.DataFile()) && theirs[vectorOf(key, e.DataFile())] {
			foreign = true
		} else {
			left = append(left, e)
		}
	}
	return left, foreign, nil
}

// countDeletes puts the counts of a snapshot's own delete files into its summary.
func (p *Proposal) countDeletes(summary map[string]string, i int, c *content, marks []Mark) {
	files, rows := int64(0), int64(0)
	for _, k := range marks {
		if k.Snapshot == i {
			files, rows = files+1, rows+k.ice.Count()
		}
	}
	maps.DeleteFunc(summary, func(name, _ string) bool { return deleteCounts[name] })
	kind := "position-delete-files"
	if p.marks.Whole {
		kind = "dvs"
	}
	for name, n := range map[string]int64{"added-delete-files": files, "added-" + kind: files, "added-position-deletes": rows} {
		if n > 0 {
			summary[name] = fmt.Sprint(n)
		}
	}
	was := p.before
	if i > 0 {
		was = p.stages[i-1]
	}
	here := map[string]bool{}
	for _, d := range c.deletes {
		here[d.key] = true
	}
	files, rows = 0, 0
	for _, d := range was.deletes {
		if !here[d.key] {
			files, rows = files+1, rows+d.ice.Count()
		}
	}
	for name, n := range map[string]int64{"removed-delete-files": files, "removed-" + kind: files, "removed-position-deletes": rows} {
		if n > 0 {
			summary[name] = fmt.Sprint(n)
		}
	}
}

// deleteCounts are the counts in a snapshot's summary that are of its delete files.
var deleteCounts = map[string]bool{
	"added-delete-files": true, "added-position-delete-files": true, "added-position-deletes": true, "added-dvs": true,
	"removed-delete-files": true, "removed-position-delete-files": true, "removed-position-deletes": true, "removed-dvs": true,
}
