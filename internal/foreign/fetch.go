package foreign

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	"tarn/internal/base"
	"tarn/internal/lake"
)

// Fetch makes the file that a URI names appear at path, which must not exist: as a hard link
// where path is on the same file system, else as a copy, which shares blocks where the file
// system can, or as a download. linked says whether it is a link. The file must have so many
// bytes as are expected. After an error there is nothing at path that was not there before.
//
// A file that is linked stays when its owner removes it, and is to be read alone.
func (p *Places) Fetch(ctx context.Context, uri, path string, bytes int64) (linked bool, err error) {
	f, err := p.open(ctx, uri)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if f.Size() != bytes {
		return false, wrong(uri, "it has %d bytes, and the table says %d", f.Size(), bytes)
	}
	from := io.Reader(f)
	if l, ok := f.(*localFile); ok {
		from = l.File // by which the operating system copies by itself
		if linked, err := l.link(path); linked || err != nil {
			return linked, lake.Step("fetch "+uri, err)
		}
	}
	return false, copyTo(ctx, uri, from, path, bytes)
}

// link makes a hard link of an opened file, where it can: a link to anything else, as the
// names on the way may have changed since, is taken away again.
func (f *localFile) link(path string) (bool, error) {
	switch err := os.Link(f.path, path); {
	case errors.Is(err, os.ErrExist):
		return false, lake.Errorf(lake.CodeInternal, "%w", err)
	case err != nil: // another file system, no right to link: it is copied
		return false, nil
	}
	fi, err := os.Lstat(path)
	if err == nil && os.SameFile(fi, f.info) {
		return true, nil
	}
	if err := errors.Join(err, os.Remove(path)); err != nil {
		return false, lake.Errorf(lake.CodeUnavailable, "%w", err)
	}
	return false, nil
}

// copyBytes is how much is copied between two looks at the context.
const copyBytes = 64 << 20

func copyTo(ctx context.Context, uri string, from io.Reader, path string, bytes int64) error {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return writeFailed(uri, err)
	}
	for left := bytes; left > 0 && err == nil; {
		if err = ctx.Err(); err != nil {
			break
		}
		var n int64
		n, err = io.CopyN(to, from, min(left, copyBytes))
		left -= n
	}
	if err != nil {
		_ = to.Close()
		_ = os.Remove(path)
		var written *os.PathError
		if errors.As(err, &written) && written.Path == path {
			return writeFailed(uri, err)
		}
		return readFailed(ctx, uri, err)
	}
	if err := to.Close(); err != nil {
		_ = os.Remove(path)
		return writeFailed(uri, err)
	}
	return nil
}

// writeFailed is the error of this machine's disk.
func writeFailed(uri string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return lake.Errorf(lake.CodeOutOfDisk, "fetch %s: %w", uri, err).WithHint("free space on the disk of the lake")
	}
	return lake.Errorf(lake.CodeUnavailable, "fetch %s: %w", uri, err).WithHint("look at the disk of the lake")
}

// Positions writes the rows of a deletion vector of theirs as a position delete file in
// Parquet at path, for the job that reads it: file_path is the location of the data file as
// they name it, pos a row. A vector that does not hold what its manifest says is
// CodeRowsInvalid, and nothing is left at path.
func (p *Places) Positions(ctx context.Context, d Delete, path string) error {
	if !d.Vector {
		return lake.Errorf(lake.CodeInternal, "%s is no deletion vector", d.URI)
	}
	err := base.WriteVector(files{p, ctx}, d.Data, path)
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}
