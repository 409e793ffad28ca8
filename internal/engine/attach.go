package engine

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"

	"tarn/internal/base"
	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/foreign"
	"tarn/internal/format"
	"tarn/internal/imports"
	"tarn/internal/job"
	"tarn/internal/lake"
)

// AttachRequest takes an Iceberg table that others own as the base of a new dataset.
type AttachRequest struct {
	Dataset    lake.Name
	Source     foreign.Source
	PrimaryKey []string // nil: the table's identifier fields
	// Own has the dataset be tarn's own from the start: nobody is followed.
	Own bool
}

// AttachResult says what an attach, or a sync, made of the table of the owner.
type AttachResult struct {
	Dataset     string         `json:"dataset"`
	Changed     bool           `json:"changed" doc:"false: the owner committed nothing since, and nothing was done"`
	Attached    Attachment     `json:"attached"`
	Rows        int64          `json:"rows" doc:"in the owner's snapshot; 0 where nothing changed"`
	Files       int            `json:"files" doc:"data files in it; likewise"`
	FilesLinked int            `json:"files_linked" doc:"new ones that are hard links now"`
	FilesCopied int            `json:"files_copied" doc:"new ones that were copied"`
	BytesCopied int64          `json:"bytes_copied"`
	RowsOnTop   int64          `json:"rows_on_top" doc:"keys that tarn's changes, as far as they were compacted, have on top of the snapshot"`
	Sequence    int64          `json:"sequence"`
	ReadPoint   lake.ReadPoint `json:"read_point"`
	ElapsedMS   float64        `json:"elapsed_ms"`
}

// Attachment says which table of others a dataset stands on.
type Attachment struct {
	Source   string `json:"source" doc:"the metadata file, the folder, or catalog:name/table"`
	Table    string `json:"table_uuid" doc:"of the owner's table"`
	Metadata string `json:"metadata" doc:"the owner's metadata file that was taken last"`
	Snapshot string `json:"snapshot" doc:"the owner's snapshot that was taken last; empty: the table had none"`
}

// attachmentOf is the attachment of a table as clients see it, nil where there is none.
func attachmentOf(t *base.Table) *Attachment {
	if a := t.Attached(); a != nil {
		return seen(a)
	}
	return nil
}

func seen(a *base.Attachment) *Attachment {
	out := &Attachment{Source: sourceOf(a).String(), Table: a.UUID, Metadata: a.Metadata}
	if a.Snapshot != 0 {
		out.Snapshot = strconv.FormatInt(a.Snapshot, 10)
	}
	return out
}

func sourceOf(a *base.Attachment) foreign.Source {
	return foreign.Source{Location: a.Location, Catalog: a.Catalog, Table: a.Table}
}

// notAttached refuses what would write files of an owner anew, or columns that are his.
func notAttached(s *dataset.State, what string) error {
	if s.Table.Attached() == nil {
		return nil
	}
	return lake.Errorf(lake.CodeUnsupported, "%s stands on a table of others (%s), and %s is not possible there", s.Name, sourceOf(s.Table.Attached()), what).
		WithHint("do it in the owner's table, or detach the dataset first: POST /datasets/%s/detach, or `tarn detach`", s.Name)
}

// mayAttach is nil where tables of others can be read.
func (e *Engine) mayAttach() error {
	if err := e.mayWrite(); err != nil {
		return err
	}
	if e.opts.Foreign == nil {
		return lake.Errorf(lake.CodeUnsupported, "this server attaches no tables: attach_roots and attach_catalogs are empty").
			WithHint("start it with attach_roots, the folders and buckets from which tables may be attached")
	}
	return nil
}

// Attach starts a job that makes a dataset of a table of others; its result is an
// AttachResult. docs/design/attach.md says what is taken.
func (e *Engine) Attach(_ context.Context, r AttachRequest) (*Job, error) {
	if err := e.mayAttach(); err != nil {
		return nil, err
	}
	if _, err := e.member(r.Dataset); err == nil {
		return nil, lake.Errorf(lake.CodeDatasetExists, "dataset %s exists already", r.Dataset).WithHint("choose another name, or drop it")
	}
	return e.startTaking("attach", r.Dataset, func(ctx context.Context, progress func(job.Progress)) (AttachResult, error) {
		return e.attach(ctx, r, progress)
	})
}

// startTaking starts a job whose result is an AttachResult.
func (e *Engine) startTaking(kind string, name lake.Name, take func(ctx context.Context, progress func(job.Progress)) (AttachResult, error)) (*Job, error) {
	return e.startJob(kind, name.String(), func(ctx context.Context, progress func(job.Progress)) (any, error) {
		began := time.Now()
		out, err := take(ctx, progress)
		if err != nil {
			return nil, lake.Step(kind+" "+name.String(), err)
		}
		out.ElapsedMS = float64(time.Since(began).Microseconds()) / 1000
		return out, nil
	})
}

func (e *Engine) attach(ctx context.Context, r AttachRequest, progress func(job.Progress)) (AttachResult, error) {
	progress(job.Progress{Step: "read the owner's metadata"})
	theirs, err := e.opts.Foreign.Load(ctx, r.Source)
	if err != nil {
		return AttachResult{}, err
	}
	schema, err := base.OwnersSchema(theirs.Schema, r.PrimaryKey)
	if err != nil {
		return AttachResult{}, err
	}
	leave, err := e.shop.EnterBulk(ctx)
	if err != nil {
		return AttachResult{}, err
	}
	defer leave()
	id := uuid.NewString()
	defer e.shop.InUse(id)()
	version := base.VersionVectors
	if r.Own {
		version = max(theirs.Version, base.VersionDefault)
	}
	t, err := base.CreateAttached(ctx, e.shop.FS, imports.Folder(r.Dataset, id), schema, id, version, theirs.Schemas, theirs.LastColumnID)
	if err != nil {
		return AttachResult{}, err
	}
	k := taking{brought: brought{e: e}, theirs: theirs, source: r.Source, table: t, forGood: r.Own, progress: progress}
	defer k.close()
	if err := k.ready(ctx, nil); err != nil {
		return AttachResult{}, err
	}
	failpoint.Hit("attach.ready")
	t, err = t.Take(e.ctx, k.taken(0, 0), e.importer.MakeKnown(r.Dataset, id, func(next *format.Version) { next.Find(id).Attached = !r.Own }))
	if err != nil {
		return AttachResult{}, lake.Step("commit", err)
	}
	failpoint.Hit("attach.committed")
	files, err := e.shop.ReadableAfterCommit(e.ctx, t, nil)
	if err != nil {
		return AttachResult{}, err
	}
	m := e.register(&dataset.State{Name: r.Dataset, UUID: id, Schema: t.Schema(), Table: t, Files: files})
	out := k.done(m.ds.State())
	e.log.Info("attached a table", "dataset", out.Dataset, "source", out.Attached.Source, "files", out.Files, "linked", out.FilesLinked, "copied", out.FilesCopied)
	return out, nil
}

// Sync starts a job that takes the newest commit of the owner; its result is an
// AttachResult.
func (e *Engine) Sync(_ context.Context, name lake.Name) (*Job, error) {
	if err := e.mayAttach(); err != nil {
		return nil, err
	}
	m, err := e.member(name)
	if err != nil {
		return nil, err
	}
	if m.ds.State().Table.Attached() == nil {
		return nil, lake.Errorf(lake.CodeUnsupported, "%s is not attached: it has no owner's table to follow", name)
	}
	return e.startSync(m)
}

func (e *Engine) startSync(m *member) (*Job, error) {
	return e.startTaking("sync", m.ds.State().Name, func(ctx context.Context, progress func(job.Progress)) (AttachResult, error) {
		return e.sync(ctx, m, progress)
	})
}

// Detach makes an attached dataset tarn's own. No file is copied, and nothing that anybody
// reads changes.
func (e *Engine) Detach(ctx context.Context, name lake.Name) (Description, error) {
	if err := e.mayWrite(); err != nil {
		return Description{}, err
	}
	m, err := e.member(name)
	if err != nil {
		return Description{}, err
	}
	unlock, err := m.ds.LockJobs(ctx)
	if err != nil {
		return Description{}, err
	}
	defer unlock()
	s, err := m.called(name)
	if err != nil {
		return Description{}, err
	}
	if s.Table.Attached() == nil {
		return Description{}, lake.Errorf(lake.CodeUnsupported, "%s is not attached: it is tarn's own already", name)
	}
	defer e.shop.InUse(s.UUID)()
	t, err := s.Table.Detach(e.ctx, e.shop.MakeCurrent(s.Table, func(next *format.Version) { next.Find(s.UUID).Attached = false }))
	if err != nil {
		e.notice(err)
		return Description{}, lake.Step("detach "+name.String(), err)
	}
	failpoint.Hit("detach.committed")
	if _, err := e.showBase(m, s, t); err != nil {
		return Description{}, err
	}
	e.log.Info("detached", "dataset", name.String())
	return e.describe(ctx, m)
}

// showBase makes a base current for readers that has the content it had.
func (e *Engine) showBase(m *member, s *dataset.State, t *base.Table) (*dataset.State, error) {
	files, err := e.shop.ReadableAfterCommit(e.ctx, t, s.Files)
	if err != nil {
		return nil, err
	}
	next := m.committer.PublishFold(change.NewBase{Table: t, Files: files, FoldedThrough: s.FoldedThrough})
	if next == nil {
		return nil, NoDataset(s.Name)
	}
	return next, nil
}
