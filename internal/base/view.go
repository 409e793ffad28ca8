package base

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	icebergio "github.com/apache/iceberg-go/io"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// view is the file system that iceberg-go sees during one reading or one
// transaction of a table: URIs below the recorded root become keys, and what it
// writes stays in memory until the commit gives it a name with its hash. What a
// failed transaction wrote goes with the view.
type view struct {
	ctx  context.Context
	fs   *FS
	root string // recorded

	mu struct {
		sync.Mutex
		written map[string][]byte // by key
	}
}

var _ icebergio.WriteFileIO = (*view)(nil)

func (f *FS) view(ctx context.Context, root string) *view {
	v := &view{ctx: ctx, fs: f, root: root}
	v.mu.written = map[string][]byte{}
	return v
}

// key turns a URI that Iceberg metadata holds into a key of the store.
func (v *view) key(uri string) (string, error) {
	if path, ok := strings.CutPrefix(uri, "file:/"); ok && !strings.HasPrefix(path, "/") {
		uri = "file:///" + path // as Hadoop, and so Spark, spells it
	}
	for _, root := range []string{v.root, v.fs.store.Root()} {
		if key, ok := strings.CutPrefix(uri, root+"/"); ok {
			return key, nil
		}
	}
	return "", lake.Errorf(lake.CodeUnsupported, "%s lies outside the lake %s", uri, v.root)
}

func (v *view) uri(key string) string { return v.root + "/" + key }

func (v *view) Open(uri string) (icebergio.File, error) {
	key, err := v.key(uri)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	body, ok := v.mu.written[key]
	v.mu.Unlock()
	if ok {
		return newMemFile(key, body), nil
	}
	if strings.HasSuffix(key, ".avro") || strings.HasSuffix(key, ".json") {
		body, err := v.fs.read(v.ctx, key)
		if err != nil {
			return nil, err
		}
		return newMemFile(key, body), nil
	}
	o, err := v.fs.store.Open(v.ctx, key)
	if err != nil {
		return nil, missing(key, err)
	}
	return objectFile{o}, nil
}

// Create gives a writer whose bytes are there once it is closed.
func (v *view) Create(uri string) (icebergio.FileWriter, error) {
	key, err := v.key(uri)
	if err != nil {
		return nil, err
	}
	return &memWriter{view: v, key: key}, nil
}

func (v *view) WriteFile(uri string, p []byte) error {
	key, err := v.key(uri)
	if err != nil {
		return err
	}
	v.put(key, bytes.Clone(p))
	return nil
}

// Remove forgets what this view wrote. Nothing else is ever removed through it.
func (v *view) Remove(uri string) error {
	key, err := v.key(uri)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.mu.written[key]; !ok {
		return lake.Errorf(lake.CodeInternal, "iceberg-go would remove %s", key)
	}
	delete(v.mu.written, key)
	return nil
}

func (v *view) put(key string, body []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.written[key] = body
}

// bytes is how much the view holds.
func (v *view) bytes() (n int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, body := range v.mu.written {
		n += int64(len(body))
	}
	return n
}

// staged gives what the view wrote under a URI.
func (v *view) staged(uri string) (key string, body []byte, ok bool) {
	key, err := v.key(uri)
	if err != nil {
		return "", nil, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	body, ok = v.mu.written[key]
	return key, body, ok
}

type memWriter struct {
	bytes.Buffer
	view   *view
	key    string
	closed bool
}

func (w *memWriter) Close() error {
	if w.closed {
		return errors.New("closed twice")
	}
	w.closed = true
	w.view.put(w.key, w.Bytes())
	return nil
}

type memFile struct {
	*bytes.Reader
	info fileInfo
}

func newMemFile(key string, body []byte) memFile {
	return memFile{bytes.NewReader(body), fileInfo{key, int64(len(body))}}
}

func (f memFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (memFile) Close() error                 { return nil }

type objectFile struct{ store.Object }

func (f objectFile) Stat() (fs.FileInfo, error) {
	return fileInfo{f.Info().Key, f.Size()}, nil
}

var _ io.ReaderAt = objectFile{}

type fileInfo struct {
	key  string
	size int64
}

func (i fileInfo) Name() string     { return path.Base(i.key) }
func (i fileInfo) Size() int64      { return i.size }
func (fileInfo) Mode() fs.FileMode  { return 0o444 }
func (fileInfo) ModTime() time.Time { return time.Time{} }
func (fileInfo) IsDir() bool        { return false }
func (fileInfo) Sys() any           { return nil }
