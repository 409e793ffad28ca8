package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tarn/internal/fileid"
	"tarn/internal/lake"
)

// LocalOptions are the settings of a Local; the zero value is right for a real
// disk.
type LocalOptions struct {
	// FS is where the lake is; nil is the machine's own file system.
	FS vfs.FS
	// Scratch is the folder, on the machine's own disk, for materialised files
	// when FS is another one; empty is the system's folder for temporary files.
	Scratch string
	// SkipProbe leaves out Probe, for tests that count each write.
	SkipProbe bool
}

// Local is a Store in a folder. An object is a file, linked to its name when it
// is whole and safe:
//
//	temp file in the same folder → write → fsync → link(2) → unlink temp → fsync of the folder
//
// link(2) refuses a name that exists, which is what makes Create exclusive. Temp
// files have hidden names, so no listing shows them; those of a process that was
// killed stay until Sweep. The names "lock" and "state" under the root belong to
// others and are no objects.
//
// A folder is made on the first Create in it, and its entry in each folder above
// is synced before that Create goes on; folders known to be safe are remembered.
//
// An fsync that failed may have dropped what it covered, and a second one would
// not say so. So a temp file is thrown away with it, and a file of CreateFrom
// that could not be synced is refused for good. A folder's sync is repeated by
// whoever settles the outcome: each try changes the folder anew (temp file,
// unlink), so that the later sync has to write it.
type Local struct {
	fs      vfs.FS
	onDisk  bool   // fs is, underneath, the machine's own
	dir     string // absolute
	scratch string

	// sweeping is held for reading by each Create and for writing by Sweep,
	// which removes temp files and empty folders, across their I/O.
	sweeping sync.RWMutex

	mu struct {
		sync.Mutex
		safe      map[string]bool // folders, by key, whose entries above are durable
		untrusted map[string]bool // fileid of files whose fsync failed
	}
	copies Copies
}

var _ Store = (*Local)(nil)

// OpenLocal opens the lake's folder dir and makes it if need be. It fails with
// lake.CodeInvalidRequest where the path has characters that other readers break
// on, and with lake.CodeUnsupported where the disk cannot carry a lake (Probe).
//
// Who opens a lake holds its lock and calls Sweep before reading anything.
func OpenLocal(dir string, opts LocalOptions) (*Local, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "the lake's folder %q: %w", dir, err)
	}
	if err := checkRoot(abs); err != nil {
		return nil, err
	}
	l := &Local{fs: opts.FS, dir: abs, scratch: opts.Scratch}
	if l.fs == nil {
		l.fs = vfs.Default
	}
	l.onDisk = vfs.Root(l.fs) == vfs.Default
	l.mu.safe = map[string]bool{"": true}
	l.mu.untrusted = map[string]bool{}
	if err := l.makeRoot(); err != nil {
		return nil, err
	}
	if !opts.SkipProbe {
		if err := l.Probe(context.Background()); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// makeRoot makes the lake's folder with those above it, and makes its entry
// durable.
func (l *Local) makeRoot() error {
	missing := []string{l.dir}
	for dir := filepath.Dir(l.dir); ; dir = filepath.Dir(dir) {
		fi, err := l.fs.Stat(dir)
		if err == nil && fi.IsDir() || dir == filepath.Dir(dir) {
			break
		}
		missing = append(missing, dir)
	}
	_, statErr := l.fs.Stat(l.dir)
	if err := l.fs.MkdirAll(l.dir, 0o755); err != nil {
		return notCreated(l.dir, "make the folder", err)
	}
	for _, dir := range missing {
		err := l.syncPath(filepath.Dir(dir))
		if statErr == nil && errors.Is(err, fs.ErrPermission) {
			// The folder was made for us in one that we may not open: then it is
			// not ours to make durable.
			err = nil
		}
		if err != nil {
			return notCreated(l.dir, "sync the folder above", err)
		}
	}
	return nil
}

// Root is file:// and the absolute path.
func (l *Local) Root() string { return "file://" + l.dir }

// Dir is the lake's folder, absolute.
func (l *Local) Dir() string { return l.dir }

// Close removes materialised files that nobody released.
func (l *Local) Close() error {
	l.copies.Close()
	return nil
}

// path is where the object of a key, or the folder of a key's segments, is.
func (l *Local) path(key string) string { return filepath.Join(l.dir, filepath.FromSlash(key)) }

// syncPath makes the entries of a folder durable.
func (l *Local) syncPath(dir string) error {
	f, err := l.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// begin checks what every call checks first.
func begin(ctx context.Context, key, step string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	return lake.Step(step+" "+key, ctx.Err())
}

// Get implements Store.
func (l *Local) Get(ctx context.Context, key string) ([]byte, error) {
	o, err := l.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	body := make([]byte, o.Size())
	if _, err := io.ReadFull(o, body); err != nil && err != io.EOF {
		return nil, readError(key, "read", err)
	}
	return body, nil
}

// Open implements Store.
func (l *Local) Open(ctx context.Context, key string) (Object, error) {
	if err := begin(ctx, key, "open"); err != nil {
		return nil, err
	}
	f, err := l.fs.Open(l.path(key))
	if err != nil {
		return nil, readError(key, "open", err)
	}
	fi, err := f.Stat()
	if err == nil && fi.IsDir() {
		err = &fs.PathError{Op: "open", Path: l.path(key), Err: fs.ErrNotExist}
	}
	if err != nil {
		_ = f.Close()
		return nil, readError(key, "open", err)
	}
	info := infoOf(key, fi)
	return &localObject{SectionReader: io.NewSectionReader(f, 0, info.Size), file: f, info: info}, nil
}

// Stat implements Store.
func (l *Local) Stat(ctx context.Context, key string) (Info, error) {
	if err := begin(ctx, key, "stat"); err != nil {
		return Info{}, err
	}
	fi, err := l.fs.Stat(l.path(key))
	if err == nil && fi.IsDir() {
		err = &fs.PathError{Op: "stat", Path: l.path(key), Err: fs.ErrNotExist}
	}
	if err != nil {
		return Info{}, readError(key, "stat", err)
	}
	return infoOf(key, fi), nil
}

// Delete implements Store. The folder is not synced: a deletion that power loss
// undoes does no harm, as recovery deletes again what nobody can reach.
func (l *Local) Delete(ctx context.Context, key string) error {
	_, err := l.Stat(ctx, key) // a folder is no object, though Remove would take an empty one
	if errors.Is(err, lake.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := l.fs.Remove(l.path(key)); err != nil && !absent(err) {
		return readError(key, "delete", err)
	}
	return nil
}

func infoOf(key string, fi fs.FileInfo) Info {
	return Info{Key: key, Size: fi.Size(), ModTime: fi.ModTime(), Identity: fileid.OfInfo(fi)}
}

// localObject reads a file within the size it had when it was opened.
type localObject struct {
	*io.SectionReader
	file vfs.File
	info Info
	once sync.Once
	err  error
}

func (o *localObject) Info() Info { return o.info }

func (o *localObject) Close() error {
	o.once.Do(func() { o.err = o.file.Close() })
	return o.err
}
