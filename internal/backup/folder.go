package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tarn/internal/base"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

const (
	filesPrefix    = "files/"
	manifestPrefix = "backups/"
	extension      = ".json"
	digits         = 20
)

// Key is where the manifest of a number lies in a backup folder.
func Key(number int64) string {
	return fmt.Sprintf("%s%0*d%s", manifestPrefix, digits, number, extension)
}

// FileKey is where a file of a lake lies in a backup folder.
func FileKey(key string) string { return filesPrefix + key }

func parseKey(key string) (number int64, ok bool) {
	name, below := strings.CutPrefix(key, manifestPrefix)
	text, isJSON := strings.CutSuffix(name, extension)
	if !below || !isJSON || len(text) != digits {
		return 0, false
	}
	number, err := strconv.ParseInt(text, 10, 64)
	return number, err == nil && number > 0
}

// Folder is an opened backup folder.
type Folder struct {
	store    store.Store
	scratch  string         // on the same disk, so that what is written there is linked
	verifier *base.Verifier // nil of one that is only read
	lock     *store.LockFile
}

// Is says whether there is a backup folder, and not a lake or something else.
func Is(dir string) bool {
	fi, err := os.Stat(filepath.Join(dir, strings.TrimSuffix(manifestPrefix, "/")))
	return err == nil && fi.IsDir()
}

// names are all that a backup folder has.
func ours(name string) bool {
	return slices.Contains([]string{"files", "backups", "state", "lock"}, name)
}

// Create opens a backup folder to write to and makes it if need be, under its
// lock. lake.CodeInvalidRequest: the folder holds something else;
// lake.CodeLocked: another backup is writing there.
func Create(ctx context.Context, dir string) (*Folder, error) {
	return create(ctx, dir, func(s store.Store) store.Store { return s })
}

// create is Create with a store put over the folder's own, for tests.
func create(ctx context.Context, dir string, over func(store.Store) store.Store) (_ *Folder, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, lake.Errorf(lake.CodeUnavailable, "look at the backup folder: %w", err)
	}
	for _, e := range entries {
		if !ours(e.Name()) {
			return nil, lake.Errorf(lake.CodeInvalidRequest, "the folder %s holds %s, which is no part of a backup", dir, e.Name()).
				WithHint("name an empty folder, or one that tarn backup made; nothing was written")
		}
	}
	s, err := store.OpenLocal(dir, store.LocalOptions{SkipProbe: true})
	if err != nil {
		return nil, err
	}
	f := &Folder{store: over(s)}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if f.lock, err = store.Lock(dir, store.Holder{PID: os.Getpid()}); err != nil {
		return nil, err
	}
	if err := s.Probe(ctx); err != nil {
		return nil, err
	}
	if err := s.Sweep(ctx); err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "state")
	if f.verifier, err = base.OpenVerifier(f.store, filepath.Join(state, "verified.jsonl")); err != nil {
		return nil, err
	}
	f.scratch = filepath.Join(state, "scratch")
	if err := os.RemoveAll(f.scratch); err != nil { // of a backup that was killed
		return nil, diskError("clear the scratch folder", err)
	}
	if err := os.MkdirAll(f.scratch, 0o755); err != nil {
		return nil, diskError("make the scratch folder", err)
	}
	return f, nil
}

// Open opens a backup folder to read from; nothing is written to it, and it may
// stand on a disk that cannot be.
func Open(dir string) (*Folder, error) {
	if !Is(dir) {
		return nil, lake.Errorf(lake.CodeNotFound, "there is no backup in %s", dir).WithHint("name the folder that tarn backup wrote to")
	}
	s, err := store.OpenLocal(dir, store.LocalOptions{SkipProbe: true})
	if err != nil {
		return nil, err
	}
	return &Folder{store: s}, nil
}

// Close lets go of the folder. It may be called twice.
func (f *Folder) Close() error {
	var errs []error
	if f.verifier != nil {
		errs = append(errs, f.verifier.Close())
	}
	if f.scratch != "" {
		errs = append(errs, os.RemoveAll(f.scratch))
	}
	errs = append(errs, f.store.Close())
	if f.lock != nil {
		errs = append(errs, f.lock.Close())
	}
	return errors.Join(errs...)
}

// Numbers gives the numbers of the backups that are there, oldest first.
func (f *Folder) Numbers(ctx context.Context) ([]int64, error) {
	var out []int64
	for info, err := range f.store.List(ctx, manifestPrefix, "") {
		if err != nil {
			return nil, lake.Step("list backups", err)
		}
		if n, ok := parseKey(info.Key); ok {
			out = append(out, n)
		}
	}
	return out, nil
}

// Read reads and verifies the manifest of a number, 0 for the newest. A number
// that is not there is lake.CodeNotFound.
func (f *Folder) Read(ctx context.Context, number int64) (format.Backup, error) {
	if number == 0 {
		numbers, err := f.Numbers(ctx)
		if err != nil {
			return format.Backup{}, err
		}
		if len(numbers) == 0 {
			return format.Backup{}, lake.Errorf(lake.CodeNotFound, "the folder holds no finished backup")
		}
		number = numbers[len(numbers)-1]
	}
	key := Key(number)
	body, err := f.store.Get(ctx, key)
	if err != nil {
		return format.Backup{}, err
	}
	b, err := format.DecodeBackup(key, body)
	if err != nil {
		return format.Backup{}, err
	}
	if b.Number != number {
		e := lake.Errorf(lake.CodeDamaged, "it holds the manifest of backup %d", b.Number)
		e.Step = key
		return format.Backup{}, e.WithHint("the file was renamed or copied over")
	}
	return b, nil
}

// All reads every manifest, oldest first.
func (f *Folder) All(ctx context.Context) ([]format.Backup, error) {
	numbers, err := f.Numbers(ctx)
	if err != nil {
		return nil, err
	}
	var out []format.Backup
	for _, n := range numbers {
		b, err := f.Read(ctx, n)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}
