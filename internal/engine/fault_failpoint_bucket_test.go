package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/store/s3test"
)

// bucketPoint says of a failpoint that no lake on a disk comes by it.
func bucketPoint(point string) bool {
	part, _, _ := strings.Cut(point, ".")
	return slices.Contains([]string{"bucket", "diskcache", "seal"}, part) || point == "open.sealed" || point == "open.probed"
}

// takesOver is a step in which a second server takes the lake over from the first, which
// acknowledges one more change between the second's reading of the logs and its sealing.
func takesOver(place string) func(o *opened, key string) error {
	return func(o *opened, key string) error {
		late := func(e *engine.Engine) error {
			return executes("INSERT OR REPLACE INTO people (id) VALUES (50)")(&opened{Engine: e, t: o.t}, key)
		}
		var failed error
		hook := func() { failed = late(o.Engine) }
		onRecovered.Store(&hook)
		next, err := openForFailpoints(place + "-next")
		onRecovered.Store(nil)
		if err == nil && failed != nil {
			err = fmt.Errorf("the former server: %w", failed)
		}
		if err != nil {
			return err
		}
		if err := o.Close(context.Background()); err != nil {
			return err
		}
		o.Engine = next.Engine
		return late(o.Engine) // in already, or where no failpoint is armed
	}
}

// onRecovered is called once a server has read the logs and not sealed them.
var onRecovered atomic.Pointer[func()]

func comesBy(point string) {
	if hook := onRecovered.Load(); hook != nil && point == "open.deltas-recovered" {
		(*hook)()
	}
}

// failpointStepsAt are failpointSteps; in a bucket with take-overs.
func failpointStepsAt(place string) ([]step, error) {
	steps, err := failpointSteps()
	if err != nil || !strings.Contains(place, "://") {
		return withAttached(place, withOutside(steps)), err
	}
	before := func(name string) int {
		return slices.IndexFunc(steps, func(s step) bool { return s.name == name })
	}
	steps = slices.Insert(steps, before("fold again"), step{"take over late", takesOver(place + "-late")})
	return slices.Insert(steps, before("delete"), step{"take over", takesOver(place)}), nil
}

// TestI1I4I6FailpointsInABucket is TestI1I4I6Failpoints for a lake in a bucket of a real
// S3 server, with two take-overs in the history. Without TARN_FAILPOINTS it kills at the
// points that a lake on a disk does not come by, at those of an opening, and at some of
// the others.
func TestI1I4I6FailpointsInABucket(t *testing.T) {
	s := s3test.Start(t)
	killedEverywhere(t, inBucketOf(s), func(point string) bool {
		return strings.HasPrefix(point, "store.") || strings.HasPrefix(point, "outside.") || attachPoint(point) || elsewhere[point] || point == "seal.gap-filled"
	}, func(point string) bool {
		if os.Getenv("TARN_FAILPOINTS") != "" || bucketPoint(point) || strings.HasPrefix(point, "open.") {
			return true
		}
		return rand.IntN(8) == 0
	})
}

// inBucketOf makes places in buckets of a server, as killedEverywhere takes them.
func inBucketOf(s *s3test.Server) func(t *testing.T) (place, files string) {
	return func(t *testing.T) (place, files string) {
		bucket := s.NewBucket(t)
		return strings.Join([]string{s.URL, "s3://" + bucket + "/lake", filepath.Join(t.TempDir(), "state")}, " "), filepath.Join(s.Dir, bucket, "lake")
	}
}

// TestI1I4I6TakeOverAfterAKilledOne kills a server between the seals that it puts, one
// of which lies ahead of the log, and the one that ends what it left as well; the third
// opens the lake with all that was acknowledged.
func TestI1I4I6TakeOverAfterAKilledOne(t *testing.T) {
	s := s3test.Start(t)
	newPlace := inBucketOf(s)
	place, _ := newPlace(t)
	steps, err := failpointStepsAt(place)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := openForFailpoints(place)
	if err != nil {
		t.Fatal(err)
	}
	plain.t = t
	states, err := statesOf(plain, steps)
	if err != nil {
		t.Fatal(err)
	}
	plain.close()
	for _, kills := range [][]kill{
		{{"seal.barrier-put", 1}},
		{{"seal.barrier-put", 1}, {"seal.filled", 1}},
		{{"seal.barrier-put", 1}, {"seal.gap-filled", 1}},
		{{"seal.barrier-put", 1}, {"seal.extended", 1}},
		{{"seal.barrier-put", 1}, {"seal.gap-filled", 1}, {"seal.barrier-put", 1}},
	} {
		t.Run(fmt.Sprint(kills), func(t *testing.T) {
			t.Parallel()
			place, files := newPlace(t)
			killedAt(t, place, files, steps, states, kills...)
		})
	}
}
