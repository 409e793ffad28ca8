package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Keeper knows who has which token, from a file that it reads again when it changes.
// A file that became wrong, or went, leaves what was known as it was and is said in
// the log, once for each change.
type Keeper struct {
	path string
	log  *slog.Logger
	all  atomic.Pointer[[]*Principal]
	good atomic.Bool

	mu struct {
		sync.Mutex             // held while the file is read
		seen       fs.FileInfo // nil: it was not there
		read       time.Time
		text       []byte
	}
}

// lookInterval is how often the file is looked at, and so how long a token works after
// it was taken out.
const lookInterval = time.Second

// Open reads the file, which must be right.
func Open(path string, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{path: path, log: log}
	all, err := k.load()
	if err != nil {
		return nil, fmt.Errorf("the tokens of %s: %w", path, err)
	}
	k.take(all)
	return k, nil
}

// Run looks at the file until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.Look()
		}
	}
}

// Look reads the file again if it changed, and says whether what holds is what the
// file says.
func (k *Keeper) Look() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.path)
	if err == nil && k.mu.seen != nil && same(info, k.mu.seen) && k.mu.read.Sub(info.ModTime()) > settled {
		return k.good.Load()
	}
	missed := err != nil && k.mu.seen == nil
	before := k.mu.text
	all, err := k.loadLocked()
	switch {
	case missed && err != nil: // it was said already
	case err != nil:
		if k.good.Swap(false) || !bytes.Equal(before, k.mu.text) {
			k.log.Error("the file of tokens is wrong; those of before hold on", "path", k.path, "error", err)
		}
	case k.good.Load() && bytes.Equal(before, k.mu.text):
	default:
		k.take(all)
		k.log.Info("the file of tokens was read again", "path", k.path, "tokens", len(all))
	}
	return k.good.Load()
}

// settled is how old a change must be to be told from a later one by its time.
const settled = 3 * time.Second

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}

func (k *Keeper) load() ([]*Principal, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.loadLocked()
}

// loadLocked reads the file and remembers what it looked like; mu is held.
func (k *Keeper) loadLocked() ([]*Principal, error) {
	k.mu.seen, k.mu.read, k.mu.text = nil, time.Now(), nil
	info, err := os.Stat(k.path)
	if err != nil {
		return nil, err
	}
	k.mu.seen = info
	if err := checkMode(info); err != nil {
		return nil, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("it has %d bytes and may have %d", info.Size(), maxFileBytes)
	}
	if k.mu.text, err = os.ReadFile(k.path); err != nil {
		return nil, err
	}
	return Parse(k.mu.text)
}

// checkMode refuses a file that others can write: they could give themselves a token.
func checkMode(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("it is not a file")
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others can write it (mode %o): chmod 600", info.Mode().Perm())
	}
	return nil
}

// take makes what a file says hold. A meter goes on where its limits are the same.
func (k *Keeper) take(all []*Principal) {
	before := map[string]*meter{}
	if old := k.all.Load(); old != nil {
		for _, p := range *old {
			before[p.ID] = p.meter
		}
	}
	for _, p := range all {
		if p.meter = before[p.ID]; p.meter == nil || p.meter.limits != p.Limits {
			p.meter = newMeter(p.Limits)
		}
	}
	k.all.Store(&all)
	k.good.Store(true)
}

// Find gives the principal of a token; nil where it is not known or has expired.
func (k *Keeper) Find(token string) *Principal { return find(*k.all.Load(), token, time.Now()) }

// Good says whether what holds is what the file says.
func (k *Keeper) Good() bool { return k.good.Load() }

// Len is how many tokens there are.
func (k *Keeper) Len() int { return len(*k.all.Load()) }
