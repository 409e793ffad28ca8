package store

import (
	"context"
	"io"
	"iter"
	"time"

	"tarn/internal/lake"
)

// Store holds immutable objects under keys. All methods may be called from many
// goroutines at once.
//
// Errors are *lake.Error. Where no other code is named, an error is
// lake.CodeUnavailable (the disk or service failed), lake.CodeOutOfDisk,
// lake.CodeInvalidRequest (no key), or that of the context's end. A failed
// Create or CreateFrom left nothing behind unless the error is
// lake.ErrUnknownOutcome.
type Store interface {
	// Create makes an object of body, atomically and durably: of all who create
	// the same key exactly one gets nil, and after nil the object survives power
	// loss. A key that is taken is ErrExists; whoever holds it is durable too.
	// Where the outcome is not known, errors.Is(err, lake.ErrUnknownOutcome):
	// see CreateSettled. body is not changed and not kept.
	Create(ctx context.Context, key string, body []byte) error

	// CreateFrom is Create with the content of the file at path, which is made
	// durable first. It must not be written to afterwards, as the store may
	// share its blocks (a hard link) instead of copying. The name path stays the
	// caller's, to be removed in the end; removing it changes the ctime that is
	// part of the object's Identity, so take the identity after that.
	CreateFrom(ctx context.Context, key string, path string) error

	// Get reads a whole object. Absent is lake.ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, error)

	// Open opens an object for reading at any place. Absent is lake.ErrNotFound.
	Open(ctx context.Context, key string) (Object, error)

	// Stat describes an object. Absent is lake.ErrNotFound.
	Stat(ctx context.Context, key string) (Info, error)

	// List gives the objects whose keys start with prefix and come after
	// `after`, in the order of their keys' bytes. It sees what was created
	// before it began; what comes or goes meanwhile it may see or not. After an
	// error it ends.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]

	// Delete removes an object. Absent is no error. After power loss a deleted
	// object may be back.
	Delete(ctx context.Context, key string) error

	// Local gives the path of a file on this machine with the object's content,
	// to be read only, until release is called (once or more). On a local disk
	// it is the object itself. Absent is lake.ErrNotFound.
	Local(ctx context.Context, key string) (path string, release func(), err error)

	// Root is the lake's place as a URI without a slash at its end:
	// file:///abs/lake.
	Root() string

	// Close frees what the store holds, with materialised files that were not
	// released. It may be called twice.
	Close() error
}

// Elsewhere is a Store whose objects are not on this machine: Local brings them,
// to a path that is known before, and they may leave again once they are released.
type Elsewhere interface {
	Store
	// Path is where Local will put the file of an object.
	Path(key string) string
}

// Info describes an object.
type Info struct {
	Key     string
	Size    int64 // bytes
	ModTime time.Time
	// Identity differs when the object is not the one it was: on a local disk
	// inode, size, mtime and ctime, as fileid.Of gives them. To compare only.
	Identity string
}

// Object is an object opened for reading. Read and Seek have one position and
// one user; ReadAt may be called by many at once.
type Object interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
	Size() int64 // bytes
	Info() Info  // as of the opening
}

// CodeExists is the code of ErrExists. It is between the store and its callers:
// no client sees it.
const CodeExists lake.Code = "object_exists"

// ErrExists says that the key is taken: errors.Is(err, store.ErrExists).
var ErrExists = &lake.Error{Code: CodeExists}
