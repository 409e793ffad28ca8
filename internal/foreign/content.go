package foreign

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync/atomic"
	"time"

	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"tarn/internal/base"
	"tarn/internal/lake"
)

const (
	// maxManifestBytes bounds the manifests of one snapshot. They have some 200 bytes to some
	// KiB for each data file, by its columns.
	maxManifestBytes = 1 << 30
	// maxEntries bounds what they name together, which stays in memory: manifests are packed.
	maxEntries = 4 << 20
	// readAhead is how many manifests are read at a time.
	readAhead = 8
)

// content is what is being read of a snapshot.
type content struct {
	*Places
	bytes   atomic.Int64 // left
	entries atomic.Int64 // left
}

// entry is a live file that a manifest names.
type entry struct {
	data     iceberg.DataFile
	sequence int64
}

func (p *Places) readContent(ctx context.Context, t *Table, s *table.Snapshot) error {
	c := &content{Places: p}
	c.bytes.Store(maxManifestBytes)
	c.entries.Store(maxEntries)
	manifests, err := c.manifests(ctx, s)
	if err != nil {
		return err
	}
	all := make([][]entry, len(manifests))
	g, inside := errgroup.WithContext(ctx)
	g.SetLimit(readAhead)
	for i, m := range manifests {
		g.Go(func() (err error) {
			all[i], err = c.read(inside, m)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return t.fill(ctx, all)
}

// manifests reads the manifest list, or what a snapshot of format version 1 has instead.
func (c *content) manifests(ctx context.Context, s *table.Snapshot) ([]iceberg.ManifestFile, error) {
	if s.ManifestList == "" {
		uri := fmt.Sprintf("snapshot %d", s.SnapshotID)
		if s.ManifestLocations == nil {
			return nil, wrong(uri, "it has no manifest list")
		}
		return decoded(uri, func() ([]iceberg.ManifestFile, error) { return s.Manifests(files{c.Places, ctx}) })
	}
	body, err := c.whole(ctx, s.ManifestList)
	if err != nil {
		return nil, err
	}
	manifests, err := decoded(s.ManifestList, func() ([]iceberg.ManifestFile, error) { return iceberg.ReadManifestList(bytes.NewReader(body)) })
	if err == nil && len(manifests) == 0 && s.Summary != nil {
		// A list that was cut after its header reads as one of nothing.
		if total := s.Summary.Properties["total-data-files"]; total != "" && total != "0" {
			return nil, wrong(s.ManifestList, "it has no manifest, and its snapshot says that there are %s data files", total)
		}
	}
	return manifests, err
}

// whole reads a file of manifests within the bound.
func (c *content) whole(ctx context.Context, uri string) ([]byte, error) {
	body, err := c.Places.read(ctx, uri, c.bytes.Load())
	if lake.CodeOf(err) == lake.CodeTooLarge || err == nil && c.bytes.Add(-int64(len(body))) < 0 {
		return nil, lake.Errorf(lake.CodeTooLarge, "the manifests of the snapshot have more than %d bytes together", maxManifestBytes).
			WithHint("have the table's owner rewrite its manifests and expire what is old")
	}
	return body, err
}

// read reads the live entries of a manifest, and refuses those that tarn does not read.
func (c *content) read(ctx context.Context, m iceberg.ManifestFile) ([]entry, error) {
	uri := m.FilePath()
	if len(m.KeyMetadata()) > 0 {
		return nil, isEncrypted(uri)
	}
	body, err := c.whole(ctx, uri)
	if err != nil {
		return nil, err
	}
	if int64(len(body)) < m.Length() {
		return nil, wrong(uri, "it has %d bytes, and the manifest list says %d", len(body), m.Length())
	}
	return decoded(uri, func() ([]entry, error) {
		r, err := iceberg.NewManifestReader(m, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		var out []entry
		for {
			e, err := r.ReadEntry()
			switch {
			case err == io.EOF:
				return out, nil
			case err != nil:
				return nil, err
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case e.Status() == iceberg.EntryStatusDELETED:
				continue
			case c.entries.Add(-1) < 0:
				return nil, lake.Errorf(lake.CodeTooLarge, "the snapshot has more than %d files", maxEntries).
					WithHint("have the table's owner compact it")
			}
			if err := c.check(e); err != nil {
				return nil, lake.Step(uri, err)
			}
			out = append(out, entry{e.DataFile(), e.SequenceNum()})
		}
	})
}

// check refuses a live file that tarn does not read, or that lies elsewhere.
func (c *content) check(e iceberg.ManifestEntry) error {
	df := e.DataFile()
	uri := df.FilePath()
	if _, _, err := c.find(uri); err != nil {
		return err
	}
	switch kind := df.ContentType(); {
	case kind == iceberg.EntryContentEqDeletes:
		return refused("%s: equality deletes", uri).
			WithHint("have the table's owner compact it, so that no equality deletes are left: in Spark CALL system.rewrite_data_files with the option delete-file-threshold 1")
	case kind == iceberg.EntryContentPosDeletes && base.IsVector(df):
		if df.ContentOffset() == nil || df.ContentSizeInBytes() == nil || df.ReferencedDataFile() == nil {
			return wrong(uri, "its manifest does not say where the deletion vector is, or of which data file")
		}
	case !base.IsParquet(df) && kind == iceberg.EntryContentPosDeletes:
		return refused("%s: position deletes as %s; tarn reads Parquet", uri, df.FileFormat()).
			WithHint("have the table's owner compact it with the property write.delete.format.default parquet")
	case !base.IsParquet(df):
		return refused("%s: data as %s; tarn reads Parquet", uri, df.FileFormat()).
			WithHint("have the table's owner rewrite its data files with the property write.format.default parquet")
	}
	switch {
	case len(df.KeyMetadata()) > 0:
		return isEncrypted(uri)
	case df.Count() < 0 || df.FileSizeBytes() <= 0:
		return wrong(uri, "its manifest says that it has %d rows in %d bytes", df.Count(), df.FileSizeBytes())
	case e.SequenceNum() < 0:
		return wrong(uri, "its manifest does not say in which order it came: it has no sequence number")
	}
	return nil
}

// files is how iceberg-go opens files of others.
type files struct {
	places *Places
	ctx    context.Context
}

var _ icebergio.StatIO = files{}

func (f files) Open(uri string) (icebergio.File, error) {
	o, err := f.places.open(f.ctx, uri)
	if err != nil {
		return nil, err
	}
	return described{o, uri}, nil
}

func (f files) Stat(uri string) (fs.FileInfo, error) {
	o, err := f.places.open(f.ctx, uri)
	if err != nil {
		return nil, err
	}
	return described{o, uri}.Stat()
}

// Remove refuses: nothing of others is ever removed.
func (files) Remove(uri string) error {
	return lake.Errorf(lake.CodeInternal, "iceberg-go would remove %s", uri)
}

// described is a file with what iceberg-go asks of one.
type described struct {
	file
	uri string
}

func (d described) Stat() (fs.FileInfo, error) { return info{path.Base(d.uri), d.Size()}, nil }

type info struct {
	name string
	size int64
}

func (i info) Name() string     { return i.name }
func (i info) Size() int64      { return i.size }
func (info) Mode() fs.FileMode  { return 0o444 }
func (info) ModTime() time.Time { return time.Time{} }
func (info) IsDir() bool        { return false }
func (info) Sys() any           { return nil }
