package upkeep

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tarn/internal/base"
	"tarn/internal/catalog"
	"tarn/internal/delta"
	"tarn/internal/failpoint"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// Collector deletes what nobody can reach.
type Collector struct {
	Store   store.Store
	Catalog *catalog.Catalog
	FS      *base.FS
	// InUse gives the tables whose folders a job reads or writes now.
	InUse func() map[string]bool
	// Readers waits until every query that began before has ended and the worker
	// has heard everything so far.
	Readers func(context.Context) error
	// StillOurs is asked between listing and deleting, where another server may take
	// the lake over: what was listed while it was ours is none of the other's. nil:
	// nobody can.
	StillOurs func(context.Context) error
	// Forget is told of each object that is about to go; it lets go of its path.
	Forget func(key string)
	// Grace is how long files of other programs stay that nothing reaches: they may be of
	// a commit that is to come.
	Grace time.Duration
	Now   func() time.Time
	// Alone keeps away, until the release, those who make files reachable that they did
	// not write: a commit of another program may name one that was about to go. nil:
	// there are none.
	Alone func() (release func())
	Log   *slog.Logger

	history history
	reach   reach
}

// Collected is what a pass deleted.
type Collected struct {
	Objects int
	Bytes   int64
}

// Collect deletes all unreachable objects. What is listed first can only become
// unreachable afterwards, never reachable, except by a commit in flight: hence
// list, then ask what is in use, then find what is reachable.
func (c *Collector) Collect(ctx context.Context) (Collected, error) {
	return c.collect(ctx, c.InUse, c.Readers)
}

// CollectAtOpen is Collect under the lake's lock, before anybody reads or writes:
// there is nobody to wait for.
func (c *Collector) CollectAtOpen(ctx context.Context) (Collected, error) {
	return c.collect(ctx, func() map[string]bool { return nil }, func(context.Context) error { return nil })
}

func (c *Collector) collect(ctx context.Context, tablesInUse func() map[string]bool, readersGone func(context.Context) error) (Collected, error) {
	var listed []store.Info
	for _, prefix := range []string{"base/", "deltas/"} {
		for info, err := range c.Store.List(ctx, prefix, "") {
			if err != nil {
				return Collected{}, lake.Step("collect: list "+prefix, err)
			}
			listed = append(listed, info)
		}
	}
	inUse := tablesInUse()
	versions, err := c.history.versions(ctx, c.Catalog)
	if err != nil {
		return Collected{}, lake.Step("collect", err)
	}
	reachable, _, err := c.reach.of(ctx, c.FS, versions)
	if err != nil {
		return Collected{}, lake.Step("collect", err)
	}
	kept := keptDeltas(versions)
	var garbage []store.Info
	for _, info := range listed {
		table := tableOf(info.Key)
		if table == "" {
			continue // not one of ours: leave it alone
		}
		if !reachable[info.Key] && !inUse[table] && !kept(info.Key) && !c.mayCome(info) {
			garbage = append(garbage, info)
		}
	}
	if len(garbage) == 0 {
		return Collected{}, nil
	}
	if c.StillOurs != nil {
		if err := c.StillOurs(ctx); err != nil {
			return Collected{}, lake.Step("collect", err)
		}
	}
	if err := readersGone(ctx); err != nil {
		return Collected{}, lake.Step("collect: wait for readers", err)
	}
	failpoint.Hit("collect.found")
	if c.Alone != nil {
		defer c.Alone()()
		if garbage, err = c.stillGarbage(ctx, garbage, tablesInUse()); err != nil {
			return Collected{}, lake.Step("collect", err)
		}
	}
	var out Collected
	for _, info := range garbage {
		c.Forget(info.Key)
		if err := c.Store.Delete(ctx, info.Key); err != nil {
			return out, lake.Step("collect", err)
		}
		c.Log.Debug("collected", "key", info.Key, "bytes", info.Size)
		failpoint.Hit("collect.deleted")
		out.Objects++
		out.Bytes += info.Size
	}
	return out, nil
}

// stillGarbage leaves out what became reachable since it was listed.
func (c *Collector) stillGarbage(ctx context.Context, garbage []store.Info, inUse map[string]bool) ([]store.Info, error) {
	versions, err := c.history.versions(ctx, c.Catalog)
	if err != nil {
		return nil, err
	}
	reachable, _, err := c.reach.of(ctx, c.FS, versions)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(garbage, func(info store.Info) bool { return reachable[info.Key] || inUse[tableOf(info.Key)] }), nil
}

// mayCome says whether a file is another program's, written not long ago.
func (c *Collector) mayCome(info store.Info) bool {
	_, ours := base.HashInName(info.Key)
	return !ours && strings.HasPrefix(info.Key, "base/") && c.Now().Sub(info.ModTime) < c.Grace
}

// keptDeltas says of a key whether it is a delta that some retained version
// still has: of one of its datasets, after its trimmed-through.
func keptDeltas(versions []retained) func(key string) bool {
	trimmed := map[string]int64{}
	for _, v := range versions { // the newest version decides, it comes last
		for _, e := range v.datasets {
			trimmed[e.TableUUID] = e.TrimmedThrough
		}
	}
	return func(key string) bool {
		table, sequence, ok := delta.ParseKey(key)
		if !ok {
			return false // of a base
		}
		through, known := trimmed[table]
		return known && sequence > through
	}
}

// tableOf gives the table uuid that a key of a base or a delta belongs to, "" where
// it has the shape of neither.
func tableOf(key string) string {
	if table, _, ok := delta.ParseKey(key); ok {
		return table
	}
	parts := strings.SplitN(key, "/", 4)
	if len(parts) < 4 || parts[0] != "base" {
		return ""
	}
	const uuidLength = 36
	at := len(parts[2]) - uuidLength
	if at < 0 || uuid.Validate(parts[2][at:]) != nil {
		return ""
	}
	return parts[2][at:]
}

// Folded gives, by table, the lowest folded-through among the retained catalog
// versions: the deltas after it belong to a state that is still kept.
func (c *Collector) Folded(ctx context.Context) (map[string]int64, error) {
	versions, err := c.history.versions(ctx, c.Catalog)
	if err != nil {
		return nil, err
	}
	_, folded, err := c.reach.of(ctx, c.FS, versions)
	return folded, err
}

// Retire deletes the catalog versions that became old before the instant, never
// the newest. A version is as old as the one that followed it: until then it was
// current.
func (c *Collector) Retire(ctx context.Context, before time.Time) (int, error) {
	versions, err := c.history.versions(ctx, c.Catalog)
	if err != nil {
		return 0, lake.Step("retire catalog versions", err)
	}
	n := 0
	// A commit in flight may have made a version already that is not current yet.
	current := c.Catalog.Current().Number
	for i, v := range versions[:max(0, len(versions)-1)] {
		if v.number >= current || !versions[i+1].time.Before(before) {
			break
		}
		if err := c.Catalog.Delete(ctx, v.number); err != nil {
			return n, lake.Step("retire catalog versions", err)
		}
		failpoint.Hit("retire.deleted")
		n++
	}
	return n, nil
}
