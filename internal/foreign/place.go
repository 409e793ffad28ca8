package foreign

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"tarn/internal/lake"
	"tarn/internal/store/bucket"
)

// place reads a root. Errors are *lake.Error; absent is lake.CodeNotFound.
type place interface {
	// open opens a file for reading, for as long as ctx lives.
	open(ctx context.Context, name string) (file, error)
	// names gives what lies directly in a folder; none where there is no such folder.
	names(ctx context.Context, name string) ([]string, error)
	close() error
}

// file is a file opened for reading, in one of the two kinds of places.
type file interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
	Size() int64 // bytes
}

// folder is a root on this machine. It is opened for each call, so that it may be mounted
// anew, and read through os.Root: neither .. nor a symbolic link leads out of it.
type folder struct{ dir string }

// localFile is a file below a folder.
type localFile struct {
	*os.File
	path string
	info fs.FileInfo
}

func (f *localFile) Size() int64 { return f.info.Size() }

// root is the handle that nothing leads out of, to be closed.
func (d folder) root(ctx context.Context) (*os.Root, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := os.OpenRoot(d.dir)
	if err != nil {
		return nil, folderFailed(err)
	}
	return r, nil
}

func (d folder) open(ctx context.Context, name string) (file, error) {
	r, err := d.root(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// A pipe would be waited for.
	f, err := r.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, folderFailed(err)
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = lake.Errorf(lake.CodeUnsupported, "it is no regular file")
	}
	if err != nil {
		_ = f.Close()
		return nil, folderFailed(err)
	}
	return &localFile{f, filepath.Join(d.dir, name), fi}, nil
}

func (d folder) names(ctx context.Context, name string) ([]string, error) {
	r, err := d.root(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f, err := r.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, folderFailed(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, folderFailed(err)
	}
	return names, nil
}

func (folder) close() error { return nil }

// folderFailed gives an error of the operating system a code.
func folderFailed(err error) error {
	var known *lake.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return lake.Errorf(lake.CodeNotFound, "%w", err)
	case strings.Contains(err.Error(), "path escapes from parent"): // os has no name for it
		return lake.Errorf(lake.CodeUnsupported, "a symbolic link leads out of the folder that attach_roots lists, or names an absolute path: %w", err).
			WithHint("list the folder that it leads to in the setting attach_roots, and name the table there")
	}
	return lake.Errorf(lake.CodeUnavailable, "%w", err).WithHint("look at the folder, and whether tarn may read it")
}

// bucketPlace is a root in a bucket, which is reached when it is first needed. Names are
// whole keys.
type bucketPlace struct {
	at      bucket.Place
	options bucket.Options

	mu struct {
		sync.Mutex // held while it is opened, which sends nothing
		opened     *bucket.Bucket
	}
}

func (b *bucketPlace) reach() (*bucket.Bucket, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.opened == nil {
		// What it opens outlives the call that came first.
		opened, err := bucket.Open(context.Background(), b.at, b.options)
		if err != nil {
			return nil, err
		}
		b.mu.opened = opened
	}
	return b.mu.opened, nil
}

func (b *bucketPlace) open(ctx context.Context, name string) (file, error) {
	s, err := b.reach()
	if err != nil {
		return nil, err
	}
	o, err := s.Open(ctx, name)
	if lake.CodeOf(err) == lake.CodeInvalidRequest { // its key
		return nil, lake.Errorf(lake.CodeUnsupported, "%w", err)
	}
	return o, err
}

func (b *bucketPlace) names(ctx context.Context, name string) ([]string, error) {
	s, err := b.reach()
	if err != nil {
		return nil, err
	}
	var out []string
	for info, err := range s.List(ctx, name+"/", "") {
		if err != nil {
			return nil, err
		}
		if rest := info.Key[len(name)+1:]; !strings.Contains(rest, "/") {
			out = append(out, rest)
		}
	}
	return out, nil
}

func (b *bucketPlace) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.opened == nil {
		return nil
	}
	return b.mu.opened.Close()
}
