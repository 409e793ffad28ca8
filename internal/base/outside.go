package base

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/lake"
)

// KindForeign is the kind of the commits of other programs.
const KindForeign Kind = "foreign"

// propertyContentAt is the table property that holds the sequence of a commit of another
// program that left changes pending, and the key in the summary of its snapshots: the base
// belongs to it and to those after it.
const propertyContentAt = "tarn.content-at"

// maxOutsideBytes bounds the manifests of one commit, which are read into memory.
const maxOutsideBytes = 256 << 20

// Proposal is a commit of another program that was held against the table: what it would
// change, and how to carry it out. Its files are read and hold what their manifests say;
// their rows are not looked at.
type Proposal struct {
	Added   []lake.BaseFile // without Path and Identity; foreign
	Removed []lake.BaseFile
	Kept    []lake.BaseFile
	// Nothing says that all that the commit asks for is so already.
	Nothing bool

	table   *Table
	meta    table.Metadata
	view    *view
	updates []table.Update
	// snapshots are those that updates add, each with what it holds.
	snapshots []*table.Snapshot
	stages    []*content
	before    *content
	content   *content // after it
	marks     *lake.ForeignDeletes
	vectors   map[string]iceberg.DataFile // deletion vectors among ForeignDeletes.Theirs, by key
	// operations and properties are what it does beside its snapshots.
	operations []lake.SchemaOperation
	properties []table.Update
	upgraded   bool
}

// Content says whether the commit has a snapshot.
func (p *Proposal) Content() bool { return len(p.snapshots) > 0 }

// Propose holds requirements and updates, as iceberg-go parsed them, against the table. It
// writes nothing.
//
// Errors: CodePreconditionFailed where a requirement fails or the commit is of another
// snapshot than the current one; CodeUnsupported for updates that a base cannot take;
// CodeRowsInvalid for files that are not as their manifests or the schema say;
// CodeInvalidRequest for what makes no sense.
func (t *Table) Propose(ctx context.Context, requirements []table.Requirement, updates []table.Update) (*Proposal, error) {
	before, err := t.content(ctx)
	if err != nil {
		return nil, err
	}
	meta, err := present(t.meta, time.Now())
	if err != nil {
		return nil, err
	}
	for _, r := range requirements {
		if err := r.Validate(meta); err != nil {
			return nil, lake.Errorf(lake.CodePreconditionFailed, "%w", err).WithHint("load the table again, and commit to what it is now")
		}
	}
	p := &Proposal{table: t, meta: meta, view: t.fs.view(ctx, t.root), before: before}
	if err := p.take(ctx, updates); err != nil {
		return nil, err
	}
	if !p.Content() {
		p.content = before
		p.Kept, err = t.Files(ctx)
		return p, err
	}
	if err := p.compare(ctx); err != nil {
		return nil, err
	}
	return p, p.readMarks(ctx)
}

// take accepts the updates that a base can take, in terms of the next metadata.
func (p *Proposal) take(ctx context.Context, updates []table.Update) error {
	parent := p.meta.CurrentSnapshot()
	var last *table.Snapshot
	if err := p.readSchema(updates); err != nil {
		return err
	}
	pointed := false
	for _, u := range updates {
		switch u.Action() {
		case table.UpdateAddSchema, table.UpdateSetCurrentSchema:
			continue
		case table.UpdateSetProperties, table.UpdateRemoveProperties:
			if err := p.property(u); err != nil {
				return err
			}
			continue
		}
		if add, ok := as(u, table.NewAddSnapshotUpdate(nil)); ok {
			s, err := p.snapshot(ctx, add.Snapshot, parent)
			if err != nil {
				return err
			}
			p.updates = append(p.updates, table.NewAddSnapshotUpdate(s))
			p.snapshots = append(p.snapshots, s)
			parent, last, pointed = s, s, false
			continue
		}
		if ref, ok := as(u, table.NewSetSnapshotRefUpdate("", 0, "", 0, 0, 0)); ok {
			switch {
			case ref.RefName != table.MainBranch || ref.RefType != table.BranchRef:
				return refused("the ref %q: a dataset has the branch main and no other ref", ref.RefName)
			case ref.MaxRefAgeMs > 0 || ref.MaxSnapshotAgeMs > 0 || ref.MinSnapshotsToKeep > 0:
				return refused("retention of its own for the branch main: tarn's settings say how long snapshots stay")
			case parent == nil || ref.SnapshotID != parent.SnapshotID:
				return refused("pointing main at the snapshot %d, which is not the newest: tarn does not roll back", ref.SnapshotID)
			}
			pointed = true
			if last != nil {
				p.updates = append(p.updates, table.NewSetSnapshotRefUpdate(table.MainBranch, ref.SnapshotID, table.BranchRef, 0, 0, 0))
			}
			continue
		}
		if err := p.asItIs(u); err != nil {
			return err
		}
	}
	if last != nil && !pointed {
		return refused("a snapshot that main does not point at")
	}
	if p.upgraded && p.Content() {
		return refused("another format version beside a snapshot: commit it by itself")
	}
	p.Nothing = last == nil && p.operations == nil && len(p.properties) == 0
	p.updates = append(p.updates, p.properties...)
	return nil
}

// asItIs passes over an update that asks for what is so already, and refuses others.
func (p *Proposal) asItIs(u table.Update) error {
	if v, ok := as(u, table.NewAssignUUIDUpdate(p.meta.TableUUID())); ok && v.UUID == p.meta.TableUUID() {
		return nil
	}
	if v, ok := as(u, table.NewUpgradeFormatVersionUpdate(0)); ok {
		return p.upgrade(v.FormatVersion)
	}
	if LocationOf(u) == p.meta.Location() {
		return nil
	}
	if v, ok := as(u, table.NewSetDefaultSpecUpdate(0)); ok && v.SpecID == p.meta.DefaultPartitionSpec() {
		return nil
	}
	if v, ok := as(u, table.NewSetDefaultSortOrderUpdate(0)); ok && v.SortOrderID == p.meta.DefaultSortOrder() {
		return nil
	}
	if why, ok := never[u.Action()]; ok {
		return refused("the update %s: %s", u.Action(), why)
	}
	return refused("the update %s", u.Action())
}

// upgrade takes another format version, in a commit without rows: the snapshots of one are
// of the version that the table has.
func (p *Proposal) upgrade(version int) error {
	switch {
	case version == p.meta.Version():
		return nil
	case version < p.meta.Version() || CheckFormatVersion(version) != nil:
		return refused("the format version %d: the table has %d, and %d is the newest", version, p.meta.Version(), VersionVectors)
	}
	p.upgraded = true
	p.properties = append(p.properties, table.NewUpgradeFormatVersionUpdate(version))
	return nil
}

// never says of updates why a base takes none of them.
var never = map[string]string{
	table.UpdateAssignUUID:                "a table keeps its uuid",
	table.UpdateAddSpec:                   "tarn's tables are not partitioned",
	table.UpdateSetDefaultSpec:            "tarn's tables are not partitioned",
	table.UpdateRemoveSpec:                "the table has one partition spec, which is empty",
	table.UpdateAddSortOrder:              "tarn sorts by the primary key",
	table.UpdateSetDefaultSortOrder:       "tarn sorts by the primary key",
	table.UpdateSetLocation:               "a table stays where the lake is",
	table.UpdateRemoveSnapshots:           "snapshots expire by snapshot_retention, as long as nobody needs them",
	table.UpdateRemoveSnapshotRef:         "a dataset has the branch main and no other ref",
	table.UpdateRemoveSchemas:             "queries of what was need the schemas of then",
	table.UpdateSetStatistics:             "tarn keeps no statistics files",
	table.UpdateRemoveStatistics:          "tarn keeps no statistics files",
	table.UpdateSetPartitionStatistics:    "tarn keeps no statistics files",
	table.UpdateRemovePartitionStatistics: "tarn keeps no statistics files",
	table.UpdateAddEncryptionKey:          "tables are not encrypted by Iceberg",
	table.UpdateRemoveEncryptionKey:       "tables are not encrypted by Iceberg",
}

func refused(format string, args ...any) error {
	return lake.Errorf(lake.CodeUnsupported, "a commit from outside cannot have "+format, args...).
		WithHint("the whole commit was refused, and nothing was changed; docs/ICEBERG.md says what is taken")
}

// snapshot reads the files of a new snapshot into the view, and gives it as the table
// will have it.
func (p *Proposal) snapshot(ctx context.Context, given, parent *table.Snapshot) (*table.Snapshot, error) {
	s := *given
	switch {
	case (s.ParentSnapshotID == nil) != (parent == nil) || parent != nil && *s.ParentSnapshotID != parent.SnapshotID:
		return nil, lake.Errorf(lake.CodePreconditionFailed, "the snapshot %d is not made of the table's newest one", s.SnapshotID).
			WithHint("load the table again, and commit to what it is now")
	case s.SequenceNumber <= p.meta.LastSequenceNumber() || parent != nil && s.SequenceNumber <= parent.SequenceNumber:
		return nil, lake.Errorf(lake.CodePreconditionFailed, "the snapshot %d has the sequence number %d, which is not after the newest", s.SnapshotID, s.SequenceNumber)
	case s.SchemaID != nil && *s.SchemaID != p.meta.CurrentSchema().ID:
		return nil, lake.Errorf(lake.CodePreconditionFailed, "the snapshot is of the schema %d, and the table has %d", *s.SchemaID, p.meta.CurrentSchema().ID)
	case (s.FirstRowID != nil) != p.table.Vectors() || len(s.ManifestLocations) > 0 || s.ManifestList == "":
		return nil, refused("a snapshot of another format version than %d, which the table has", p.meta.Version())
	}
	if err := p.stage(ctx, s.ManifestList); err != nil {
		return nil, err
	}
	c, err := p.table.readContent(ctx, p.view, &s)
	if err != nil {
		return nil, outsideFault(err)
	}
	s.Summary = p.summary(s.Summary, c)
	p.stages = append(p.stages, c)
	return &s, nil
}

// summary is that of a snapshot with the totals that its files have.
func (p *Proposal) summary(given *table.Summary, c *content) *table.Summary {
	out := &table.Summary{Operation: table.OpAppend, Properties: iceberg.Properties{}}
	if given != nil {
		out.Operation = given.Operation
		maps.Copy(out.Properties, given.Properties)
	}
	size, positions := int64(0), int64(0)
	for _, f := range c.files {
		size += f.ice.FileSizeBytes()
	}
	for _, d := range c.deletes {
		size += d.ice.FileSizeBytes()
		positions += d.ice.Count()
	}
	for name, n := range map[string]int64{
		"total-records": c.rows, "total-data-files": int64(len(c.files)), "total-delete-files": int64(len(c.deletes)),
		"total-position-deletes": positions, "total-equality-deletes": 0, "total-files-size": size,
	} {
		out.Properties[name] = strconv.FormatInt(n, 10)
	}
	for name := range out.Properties {
		if strings.HasPrefix(name, "tarn.") {
			delete(out.Properties, name)
		}
	}
	out.Properties[summaryKind] = string(KindForeign)
	return out
}

// stage reads a manifest list and the manifests of it that the table has not, so that
// the commit can write them under names with their hashes.
func (p *Proposal) stage(ctx context.Context, uri string) error {
	body, err := p.fetch(ctx, uri)
	if err != nil {
		return err
	}
	manifests, err := readManifestList(body)
	if err != nil {
		return lake.Errorf(lake.CodeRowsInvalid, "the manifest list %s: %w", uri, err)
	}
	for _, m := range manifests {
		key, err := p.view.key(m.FilePath())
		if err != nil {
			return err
		}
		if _, ours := HashInName(key); ours && strings.HasPrefix(key, p.table.folder+"/metadata/") {
			continue
		}
		if _, _, there := p.view.staged(m.FilePath()); there {
			continue
		}
		if m.PartitionSpecID() != 0 {
			return refused("the partition spec %d", m.PartitionSpecID())
		}
		if _, err := p.fetch(ctx, m.FilePath()); err != nil {
			return err
		}
	}
	return nil
}

// readManifestList decodes one; iceberg-go panics at some that are none.
func readManifestList(body []byte) (out []iceberg.ManifestFile, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return iceberg.ReadManifestList(bytes.NewReader(body))
}

// fetch reads a file of the metadata of another program into the view.
func (p *Proposal) fetch(ctx context.Context, uri string) ([]byte, error) {
	key, err := p.own(uri)
	if err != nil {
		return nil, err
	}
	o, err := p.table.fs.store.Open(ctx, key)
	if err != nil {
		return nil, absent(key, err)
	}
	defer o.Close()
	if have := p.view.bytes(); o.Size() > maxOutsideBytes-have {
		return nil, lake.Errorf(lake.CodeTooLarge, "the manifests of the commit have more than %d bytes together", maxOutsideBytes).
			WithHint("commit fewer files at once")
	}
	body, err := io.ReadAll(o)
	if err != nil {
		return nil, lake.Errorf(lake.CodeUnavailable, "read %s: %w", key, err)
	}
	p.view.put(key, body)
	return body, nil
}

// own is the key of a file that lies in the table's folder; files of other tables are
// none that a commit may bring in.
func (p *Proposal) own(uri string) (string, error) {
	key, err := p.view.key(uri)
	if err != nil || !strings.HasPrefix(key, p.table.folder+"/") || path.Clean(key) != key {
		return "", lake.Errorf(lake.CodeUnsupported, "the file %s does not lie in the table's folder %s/%s", uri, p.table.root, p.table.folder).
			WithHint("write files below the table's location; files that lie elsewhere are imported by tarn")
	}
	return key, nil
}

// absent is the error of a file that a commit names and that is not there.
func absent(key string, err error) error {
	if lake.CodeOf(err) == lake.CodeNotFound {
		return lake.Errorf(lake.CodeRowsInvalid, "the commit names %s, which is not there", key).
			WithHint("a file that no commit named is cleared away some time after it was written (iceberg_file_grace)")
	}
	return err
}

// outsideFault makes damage of what another program wrote a fault of its request.
func outsideFault(err error) error {
	if lake.CodeOf(err) == lake.CodeDamaged || lake.CodeOf(err) == lake.CodeInternal {
		return lake.Errorf(lake.CodeRowsInvalid, "the commit's manifests cannot be read: %w", err)
	}
	return err
}

// compare finds what the commit changes, and holds its new files against the schema.
func (p *Proposal) compare(ctx context.Context) error {
	if err := p.readAfter(ctx); err != nil {
		return err
	}
	was := map[string]dataFile{}
	for _, f := range p.before.files {
		was[f.base.Key] = f
	}
	stays := map[string]bool{}
	for _, f := range p.content.files {
		if stays[f.base.Key] {
			return lake.Errorf(lake.CodeRowsInvalid, "the commit has the file %s twice", f.base.Key)
		}
		stays[f.base.Key] = true
		old, there := was[f.base.Key]
		switch {
		case !there:
			if err := p.newFile(ctx, f); err != nil {
				return err
			}
			p.Added = append(p.Added, f.base)
		case !sameFile(old, f):
			return lake.Errorf(lake.CodeRowsInvalid, "the commit describes %s, which the table has already, in another way", f.base.Key)
		default:
			p.Kept = append(p.Kept, f.base)
		}
	}
	for _, f := range p.before.files {
		if !stays[f.base.Key] {
			p.Removed = append(p.Removed, f.base)
		}
	}
	return nil
}

// readAfter reads what the table will hold.
func (p *Proposal) readAfter(ctx context.Context) error {
	t := p.table
	meta, err := table.UpdateTableMetadata(p.meta, p.updates, p.view.uri(t.key))
	if err != nil {
		return lake.Errorf(lake.CodeInvalidRequest, "%w", err)
	}
	next, _, err := newTable(t.fs, t.folder, t.number+1, meta)
	if err != nil {
		return err
	}
	if p.content, err = next.readContent(ctx, p.view, next.meta.CurrentSnapshot()); err != nil {
		return outsideFault(err)
	}
	return nil
}

// sameFile says whether two manifests describe a data file alike. Its delete files are
// another matter.
func sameFile(a, b dataFile) bool {
	return a.seq == b.seq && a.ice.FilePath() == b.ice.FilePath() && a.base.Rows == b.base.Rows && a.base.Bytes == b.base.Bytes &&
		!narrower(b.base, a.base)
}

// narrower says whether the bounds of a file leave out what those of another have.
func narrower(a, b lake.BaseFile) bool {
	return a.Lower != nil && (b.Lower == nil || bytes.Compare(a.Lower, b.Lower) > 0) ||
		a.Upper != nil && (b.Upper == nil || bytes.Compare(a.Upper, b.Upper) < 0)
}

// Commit carries a proposal out: the table is then that of a sequence, with the changes up
// to foldedThrough in it. The rest is as with Table.Commit.
func (p *Proposal) Commit(ctx context.Context, foldedThrough, sequence int64, makeCurrent func(ctx context.Context, metadataKey string) error) (*Table, error) {
	t := p.table
	if foldedThrough < t.folded || sequence < foldedThrough {
		return nil, lake.Errorf(lake.CodeInternal, "commit: folded-through %d at the sequence %d after %d", foldedThrough, sequence, t.folded)
	}
	for _, s := range p.snapshots {
		s.Summary.Properties[propertyFolded] = strconv.FormatInt(foldedThrough, 10)
		s.Summary.Properties[propertyContentAt] = strconv.FormatInt(sequence, 10)
	}
	return p.carryOut(ctx, makeCurrent, table.NewSetPropertiesUpdate(iceberg.Properties{
		propertyFolded: strconv.FormatInt(foldedThrough, 10), propertyContentAt: strconv.FormatInt(sequence, 10),
	}))
}

// Describe carries out a proposal that changes properties alone: no row, no column, and no
// sequence. The rest is as with Table.Commit.
func (p *Proposal) Describe(ctx context.Context, makeCurrent func(ctx context.Context, metadataKey string) error) (*Table, error) {
	return p.carryOut(ctx, makeCurrent)
}

// Evolve carries out a proposal that changes the columns, and maybe properties, as
// Table.Evolve does.
func (p *Proposal) Evolve(ctx context.Context, s lake.Schema, sequence int64, makeCurrent func(ctx context.Context, metadataKey string) error) (*Table, error) {
	return p.table.evolve(ctx, s, sequence, p.properties, makeCurrent)
}

func (p *Proposal) carryOut(ctx context.Context, makeCurrent func(ctx context.Context, metadataKey string) error, more ...table.Update) (*Table, error) {
	c := &committer{table: p.table, meta: p.meta, view: p.view, makeCurrent: makeCurrent, files: len(p.content.files), rows: p.content.rows}
	return c.commit(ctx, nil, slices.Concat(p.updates, more))
}
