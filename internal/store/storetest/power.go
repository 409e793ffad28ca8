package storetest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Disk is a disk in memory whose power can be cut. Open the store under test on
// it, with FS: disk.FS and SkipProbe, and say with Acknowledge what a client was
// told.
type Disk[A any] struct {
	FS vfs.FS

	mem *vfs.MemFS
	// linking is held for reading by Link and for writing by a crash: MemFS.Link
	// takes its own clone lock twice, so a CrashClone between the two would
	// never end.
	linking *sync.RWMutex

	mu struct {
		sync.Mutex
		acknowledged []A
	}
}

// NewDisk gives an empty disk. before, if not nil, is called before each write
// (create, link, remove, make folder, write, sync, close); an error from it is
// what the write answers, undone.
func NewDisk[A any](before func(op errorfs.Op) error) *Disk[A] {
	d := &Disk[A]{mem: vfs.NewCrashableMem(), linking: &sync.RWMutex{}}
	d.FS = errorfs.Wrap(&linkable{d.mem, d.linking}, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if before == nil || op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		return before(op)
	}))
	return d
}

type linkable struct {
	*vfs.MemFS
	linking *sync.RWMutex
}

func (l *linkable) Link(oldname, newname string) error {
	l.linking.RLock()
	defer l.linking.RUnlock()
	return l.MemFS.Link(oldname, newname)
}

// Acknowledge notes what must be there after every later crash.
func (d *Disk[A]) Acknowledge(a A) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.acknowledged = append(d.mu.acknowledged, a)
}

// Acknowledged gives what was acknowledged so far.
func (d *Disk[A]) Acknowledged() []A {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.acknowledged[:len(d.mu.acknowledged):len(d.mu.acknowledged)]
}

// Crash gives the disk as it may be after power loss now: all that was synced,
// and each block and folder entry that was not with a probability of percent.
func (d *Disk[A]) Crash(percent int, seed uint64) vfs.FS {
	d.linking.Lock()
	defer d.linking.Unlock()
	return d.mem.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: percent,
		RNG:                 rand.New(rand.NewPCG(seed, uint64(percent))),
	})
}

// CutPower runs script once and cuts the power before each of its writes and at
// its end, keeping 0, 50 and 100% of what was not synced. For each crash it
// calls check with the disk after it, and what had been acknowledged before it;
// check opens what it tests afresh and says what is wrong. script may use many
// goroutines; check is called by one at a time.
func CutPower[A any](t *testing.T, script func(d *Disk[A]), check func(after vfs.FS, acknowledged []A) error) {
	t.Helper()
	seed := rand.Uint64()
	var (
		d      *Disk[A]
		mu     sync.Mutex
		writes int
		bad    int
	)
	cut := func(where string) {
		mu.Lock()
		defer mu.Unlock()
		writes++
		for _, percent := range []int{0, 50, 100} {
			// The acknowledgements first: what is acknowledged while the disk is
			// copied need not be in the copy.
			acknowledged := d.Acknowledged()
			after := d.Crash(percent, seed+uint64(writes))
			if err := check(after, acknowledged); err != nil {
				if bad++; bad <= 10 {
					t.Errorf("power cut before write %d (%s), %d%% of the unsynced kept, seed %d: %v", writes, where, percent, seed, err)
				}
			}
		}
	}
	d = NewDisk[A](func(op errorfs.Op) error {
		cut(fmt.Sprintf("kind %d of %s", op.Kind, op.Path))
		return nil
	})
	script(d)
	cut("the end")
	t.Logf("%d crash points, 3 crashes each, %d bad, seed %d", writes, bad, seed)
}
