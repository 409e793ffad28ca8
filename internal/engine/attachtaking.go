package engine

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/google/uuid"

	"tarn/internal/base"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/foreign"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/workshop"
)

// taking is the snapshot of an owner's table on its way into a base: its files in the
// lake, its deletes as deletion vectors, its rows looked at.
type taking struct {
	brought
	theirs   *foreign.Table
	source   foreign.Source
	table    *base.Table // before
	forGood  bool        // what is taken is tarn's own from then on
	progress func(job.Progress)
	pad      *workshop.Scratchpad

	files   []ownersFile // of theirs.Files, in their order
	added   []base.NewFile
	deletes []base.NewDeletes
	own     []lake.BaseFile // files of tarn's own that stay beside them
	changes bool            // the base has another content than before
	result  AttachResult
}

// ownersFile is a data file of the owner as the base will have it.
type ownersFile struct {
	lake.BaseFile
	fresh   bool // it was not in the base
	changed bool // its dead rows are others than in the base
}

func (k *taking) close() {
	k.brought.close()
	if k.pad != nil {
		k.pad.Remove()
	}
}

// ready does all of the work but the commit. have are the files of the base.
func (k *taking) ready(ctx context.Context, have []lake.BaseFile) (err error) {
	if k.pad, err = k.e.shop.NewScratchpad("attach"); err != nil {
		return err
	}
	if err := k.fetch(ctx, have); err != nil {
		return err
	}
	failpoint.Hit("attach.fetched")
	if err := k.mark(ctx); err != nil {
		return err
	}
	return k.check(ctx)
}

// fetch brings the owner's data files into the lake that are not there.
func (k *taking) fetch(ctx context.Context, have []lake.BaseFile) error {
	here := map[string]lake.BaseFile{}
	for _, f := range have {
		if id, ok := base.FromOwner(f.Key); ok {
			here[id] = f
		}
	}
	known := func(f foreign.File) (lake.BaseFile, bool) {
		old, there := here[base.OwnersFile(f.URI)]
		return old, there && old.Bytes == f.Data.FileSizeBytes() && old.Rows == f.Data.Count()
	}
	bytes, done := int64(0), int64(0)
	for _, f := range k.theirs.Files {
		if _, there := known(f); !there {
			bytes += f.Data.FileSizeBytes()
		}
	}
	for _, f := range k.theirs.Files {
		if old, there := known(f); there {
			k.files = append(k.files, ownersFile{BaseFile: old})
			continue
		}
		k.progress(job.Progress{Step: "take files", Done: done, Total: bytes})
		one, err := k.take(ctx, f)
		if err != nil {
			return err
		}
		k.added = append(k.added, one)
		k.files = append(k.files, ownersFile{BaseFile: one.BaseFile, fresh: true, changed: true})
		done += f.Data.FileSizeBytes()
	}
	k.changes = len(k.added) > 0 || len(have) != len(k.files)+len(k.own) // some go, or come
	return nil
}

func (k *taking) take(ctx context.Context, f foreign.File) (base.NewFile, error) {
	path := filepath.Join(k.pad.Dir, uuid.NewString()+".parquet")
	linked, err := k.e.opts.Foreign.Fetch(ctx, f.URI, path, f.Data.FileSizeBytes())
	if err != nil {
		return base.NewFile{}, err
	}
	if linked {
		k.result.FilesLinked++
	} else {
		k.result.FilesCopied++
		k.result.BytesCopied += f.Data.FileSizeBytes()
	}
	one, err := k.table.TakeInAttached(ctx, path, f.URI, f.Data, k.theirs.InPath)
	failpoint.Hit("attach.taken-in")
	return one, err
}

// mark makes deletion vectors of the owner's deletes.
func (k *taking) mark(ctx context.Context) error {
	made := map[int]job.Deletes{}
	if len(k.theirs.Deletes) > 0 {
		m, err := k.marks(ctx)
		if err != nil {
			return err
		}
		res, err := k.e.shop.Run(ctx, k.pad, job.Spec{Kind: job.KindMarks, Marks: &m}, k.progress)
		if err != nil {
			return err
		}
		for _, d := range res.Deletes {
			made[d.Base] = d
		}
	}
	for i := range k.files {
		f := &k.files[i]
		d, marked := made[i]
		if !marked {
			f.changed = f.changed || len(f.Deletes) > 0
			f.Deletes, f.Dead = nil, 0
			continue
		}
		location, err := k.location(ctx, *f)
		if err != nil {
			return err
		}
		one, err := k.table.TakeInDeletesAt(ctx, d.Path, location, d.Rows)
		if err != nil {
			return err
		}
		k.deletes = append(k.deletes, one)
		f.changed = true
		f.Deletes, f.Dead = []lake.DeleteFile{{Key: one.Key, Bytes: d.Bytes}}, d.Rows
	}
	return nil
}

// location is how the table's delete files name a data file.
func (k *taking) location(ctx context.Context, f ownersFile) (string, error) {
	if f.fresh {
		return k.table.DataURI(f.Key), nil
	}
	return k.table.DataLocation(ctx, f.Key)
}

// marks are the owner's deletes where a job can read them.
func (k *taking) marks(ctx context.Context) (job.Marks, error) {
	m := job.Marks{ForeignDeletes: lake.ForeignDeletes{Whole: true}, Dangling: true}
	for i, d := range k.theirs.Deletes {
		path := filepath.Join(k.pad.Dir, fmt.Sprintf("deletes-%d.parquet", i))
		var err error
		if d.Vector {
			err = k.e.opts.Foreign.Positions(ctx, d, path)
		} else {
			_, err = k.e.opts.Foreign.Fetch(ctx, d.URI, path, d.Data.FileSizeBytes())
		}
		if err != nil {
			return m, err
		}
		m.Theirs = append(m.Theirs, lake.ForeignDelete{
			DeleteFile: lake.DeleteFile{Key: d.URI, Bytes: d.Data.FileSizeBytes(), Path: path}, Rows: d.Rows, Live: []bool{true},
		})
	}
	for i, f := range k.theirs.Files {
		location, err := k.location(ctx, k.files[i])
		if err != nil {
			return m, err
		}
		m.Files = append(m.Files, lake.MarkedFile{
			Key: k.files[i].Key, Location: f.URI, Writes: location, Rows: k.files[i].Rows, Snapshots: []lake.MarkSnapshot{{Live: true, Theirs: f.Deletes}},
		})
	}
	return m, nil
}

// check reads the keys of what is new, and of files that have other dead rows, beside those
// that may meet them.
func (k *taking) check(ctx context.Context) error {
	var changed, stay []lake.BaseFile
	for _, f := range k.files {
		if f.changed {
			changed = append(changed, f.BaseFile)
		} else {
			stay = append(stay, f.BaseFile)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	k.changes = true
	schema := k.table.Schema()
	c := &job.Check{Schema: schema}
	if schema.Keyed() {
		c.Kept = meeting(stay, changed)
	}
	var err error
	if c.Added, err = k.bring(ctx, changed); err != nil {
		return err
	}
	if c.Kept, err = k.bring(ctx, c.Kept); err != nil {
		return err
	}
	_, err = k.e.shop.Run(ctx, k.pad, job.Spec{Kind: job.KindCheck, Check: c}, k.progress)
	return err
}

// taken is the commit that makes the snapshot the base, at a sequence of the dataset, with
// the changes up to folded in it or on top.
func (k *taking) taken(folded, sequence int64) base.Taken {
	out := base.Taken{
		Keep: k.own, Add: k.added, Deletes: k.deletes, FoldedThrough: folded, ContentAt: sequence,
	}
	if !k.forGood {
		out.Attached = k.attachment()
	}
	for _, f := range k.files {
		if !f.fresh {
			out.Keep = append(out.Keep, f.BaseFile)
		}
	}
	return out
}

func (k *taking) attachment() *base.Attachment {
	return &base.Attachment{
		Location: k.source.Location, Catalog: k.source.Catalog, Table: k.source.Table,
		UUID: k.theirs.UUID, Metadata: k.theirs.Metadata, Snapshot: k.theirs.Snapshot, Files: len(k.files),
	}
}

// done is the answer once the snapshot is the base of a state.
func (k *taking) done(s *dataset.State) AttachResult {
	out := k.result
	out.Dataset, out.Changed, out.Attached, out.Files = s.Name.String(), true, *seen(k.attachment()), len(k.files)
	for _, f := range k.files {
		out.Rows += f.Live()
	}
	out.Sequence, out.ReadPoint = s.Sequence, s.ReadPoint()
	return out
}
