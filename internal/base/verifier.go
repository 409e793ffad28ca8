package base

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/singleflight"

	"tarn/internal/fileid"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// Verifier remembers which files were verified on this machine, by key and
// identity, so that a base file is read whole before its first use and again
// when it is not the file that it was. The memory is a file of JSON lines among
// the node's own state; losing it costs reading again, nothing else.
//
// In a store whose objects are elsewhere it gives paths alone: files come when they
// are asked for, are verified on arrival, and go again; see lake.NotLocal.
type Verifier struct {
	store  store.Store
	place  func(key string) string // where the objects are elsewhere
	flight singleflight.Group

	mu struct {
		sync.Mutex
		log   *os.File
		known map[string]string // identity by key
		held  map[string]func() // releases of store.Local, by key
		path  map[string]string // of those held
	}
}

type verifierLine struct {
	Key      string `json:"key"`
	Identity string `json:"identity"`
	Sum      string `json:"sum"` // of both, so that a damaged line counts for nothing
}

func newLine(key, identity string) verifierLine {
	return verifierLine{key, identity, store.HashBytes([]byte(key + "\n" + identity))}
}

// OpenVerifier opens the memory at path, or begins it. Lines that are damaged or
// doubled are left out and the file is written anew.
func OpenVerifier(s store.Store, path string) (*Verifier, error) {
	v := &Verifier{store: s}
	if e, ok := s.(store.Elsewhere); ok {
		v.place = e.Path
	}
	v.mu.known, v.mu.held, v.mu.path = map[string]string{}, map[string]func(){}, map[string]string{}
	if err := v.load(path); err != nil {
		return nil, lake.Errorf(lake.CodeUnavailable, "open the list of verified files: %w", err)
	}
	return v, nil
}

func (v *Verifier) load(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if f, err := os.Open(path); err == nil {
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			var l verifierLine
			if json.Unmarshal(lines.Bytes(), &l) == nil && l == newLine(l.Key, l.Identity) {
				v.mu.known[l.Key] = l.Identity
			}
		}
		f.Close() // what could not be read is verified again
	} else if !os.IsNotExist(err) {
		return err
	}
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	for key, identity := range v.mu.known {
		if err := enc.Encode(newLine(key, identity)); err != nil {
			f.Close()
			return err
		}
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		f.Close()
		return err
	}
	v.mu.log = f
	return nil
}

// Files gives data files and their delete files with the Path and Identity to read
// them by, each verified on this machine. The paths stay until Forget or Close.
func (v *Verifier) Files(ctx context.Context, files []lake.BaseFile) ([]lake.BaseFile, error) {
	out := slices.Clone(files)
	for i := range out {
		var err error
		if out[i].Path, out[i].Identity, err = v.Verify(ctx, out[i].Key); err != nil {
			return nil, err
		}
		out[i].Deletes = slices.Clone(out[i].Deletes)
		for d := range out[i].Deletes {
			of := &out[i].Deletes[d]
			if of.Path, of.Identity, err = v.Verify(ctx, of.Key); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// Verify gives a file's path and identity on this machine. It reads the file
// whole unless it has the identity that it had when that was done last; at most
// one reading of a file runs at a time. lake.CodeDamaged names the key.
func (v *Verifier) Verify(ctx context.Context, key string) (path, identity string, err error) {
	if v.place != nil {
		return v.place(key), lake.NotLocal, nil
	}
	path, err = v.local(ctx, key)
	if err != nil {
		return "", "", err
	}
	identity, err = fileid.Of(path)
	if err != nil {
		return "", "", v.gone(key, err)
	}
	if v.verified(key, identity) {
		return path, identity, nil
	}
	for {
		_, err, _ := v.flight.Do(key, func() (any, error) { return nil, v.check(ctx, key, path) })
		if err == nil {
			break
		}
		// Who joined the reading of another shares the end of its context.
		if code := lake.CodeOf(err); ctx.Err() == nil && (code == lake.CodeCancelled || code == lake.CodeDeadline) {
			continue
		}
		return "", "", err
	}
	identity, err = fileid.Of(path)
	if err != nil {
		return "", "", v.gone(key, err)
	}
	if !v.verified(key, identity) {
		return "", "", damaged(key, "the file changed while it was read")
	}
	return path, identity, nil
}

// check reads a file whole and remembers the identity that it had before and
// after.
func (v *Verifier) check(ctx context.Context, key, path string) error {
	before, err := fileid.Of(path)
	if err != nil {
		return v.gone(key, err)
	}
	if v.verified(key, before) {
		return nil // somebody else was faster
	}
	hash, _, err := store.HashFile(ctx, path)
	if err != nil {
		return missing(key, err)
	}
	if err := checkHash(key, hash); err != nil {
		return err
	}
	after, err := fileid.Of(path)
	if err != nil {
		return v.gone(key, err)
	}
	if before != after {
		return damaged(key, "the file changed while it was read")
	}
	return v.remember(key, after)
}

// gone is the error of a file whose path the store gave and that is not there.
func (v *Verifier) gone(key string, err error) error {
	if os.IsNotExist(err) {
		return damaged(key, "the file is missing: %w", err)
	}
	return lake.Errorf(lake.CodeUnavailable, "%s: %w", key, err)
}

// written notes a file that was just taken in: its hash was found while writing.
func (v *Verifier) written(ctx context.Context, key string) error {
	if v.place != nil {
		return nil
	}
	path, err := v.local(ctx, key)
	if err != nil {
		return err
	}
	identity, err := fileid.Of(path)
	if err != nil {
		return v.gone(key, err)
	}
	return v.remember(key, identity)
}

func (v *Verifier) verified(key, identity string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mu.known[key] == identity
}

func (v *Verifier) remember(key, identity string) error {
	line, err := json.Marshal(newLine(key, identity))
	if err != nil {
		return lake.Errorf(lake.CodeInternal, "list of verified files: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.known[key] = identity
	if v.mu.log == nil {
		return nil
	}
	if _, err := v.mu.log.Write(append(line, '\n')); err != nil {
		return lake.Errorf(lake.CodeUnavailable, "list of verified files: %w", err)
	}
	return nil
}

// local gives a file's path, held until Forget or Close.
func (v *Verifier) local(ctx context.Context, key string) (string, error) {
	v.mu.Lock()
	path, ok := v.mu.path[key]
	v.mu.Unlock()
	if ok {
		return path, nil
	}
	path, release, err := v.store.Local(ctx, key)
	if err != nil {
		return "", missing(key, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if held, ok := v.mu.path[key]; ok { // somebody else was faster
		release()
		return held, nil
	}
	v.mu.path[key], v.mu.held[key] = path, release
	return path, nil
}

// Forget lets go of a file that was collected.
func (v *Verifier) Forget(key string) {
	v.mu.Lock()
	release := v.mu.held[key]
	delete(v.mu.known, key)
	delete(v.mu.held, key)
	delete(v.mu.path, key)
	v.mu.Unlock()
	if release != nil {
		release()
	}
}

// Close releases all paths and closes the memory. It may be called twice.
func (v *Verifier) Close() error {
	v.mu.Lock()
	held, log := v.mu.held, v.mu.log
	v.mu.held, v.mu.path, v.mu.log = map[string]func(){}, map[string]string{}, nil
	v.mu.Unlock()
	for _, release := range held {
		release()
	}
	if log == nil {
		return nil
	}
	return log.Close()
}
