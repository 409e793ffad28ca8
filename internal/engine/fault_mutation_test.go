package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// mutationCount is how many files TestI7Mutations mutates: $TARN_TEST_MUTATIONS, or
// what fits into a test run. A hundred thousand take a quarter of an hour on two cores
// that have nothing else to do, with TMPDIR in memory.
func mutationCount(t *testing.T) int {
	usual := 400
	if testing.Short() {
		usual = 150
	}
	return numberFrom(t, "TARN_TEST_MUTATIONS", usual)
}

// pristine is a lake with every kind of durable file, each of which some retained
// catalog version reaches.
type pristine struct {
	dir     string
	content string
	keys    []string
	files   map[string][]byte
	kinds   map[string][]string // keys by kind, in order
	kindOf  map[string]string
}

func newPristine(t *testing.T) *pristine {
	p := &pristine{dir: t.TempDir(), files: map[string][]byte{}, kinds: map[string][]string{}, kindOf: map[string]string{}}
	o := openLake(t, p.dir, marking)
	var lines []string
	for i := range 2000 {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"v":"%x"}`, i, i*i*7919))
	}
	for i, n := range []string{"marked", "vectors"} {
		o.createAs(2+i, n, schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
		o.change(n, engine.OpUpsert, lines...)
		for _, gone := range []string{`{"id":5}`, `{"id":7}`} {
			o.compact(n)
			o.change(n, engine.OpDelete, gone)
		}
		o.compact(n)
		o.change(n, engine.OpUpsert, lines[5:900]...)
	}
	o.create("log", schema(t, nil, "n BIGINT"))
	o.change("log", engine.OpUpsert, `{"n":1}`)
	o.compact("log")
	o.change("log", engine.OpUpsert, `{"n":2}`)
	p.content = o.mustContent()
	o.close()
	for kind, keys := range durableFiles(t, p.dir) {
		for _, key := range keys {
			p.files[key] = readFile(t, filepath.Join(p.dir, key))
			p.keys = append(p.keys, key)
			p.kinds[kind] = append(p.kinds[kind], key)
			p.kindOf[key] = kind
		}
	}
	for _, of := range p.kinds {
		slices.Sort(of)
	}
	slices.Sort(p.keys)
	return p
}

// change is what files become, and by what damage.
type change struct {
	files map[string][]byte
	what  map[string]string
}

// Files of one level do not reach each other, so that many can be damaged at once and
// each has to be named. A damaged manifest, or list, ends the reading of its table's
// metadata: of these one a table.
var levels = [][]string{{"catalog version"}, {"metadata"}, {"manifest list"}, {"manifest"}, {"data file", "position deletes", "deletion vector", "delta"}}

// filesAtOnce is how many files one lake has damaged at most.
const filesAtOnce = 12

// mutate draws the damage of one lake, in files of one level. Levels, kinds of files
// and kinds of damage are equally likely, however many files and bytes there are.
func (p *pristine) mutate(random *rand.Rand) change {
	c := change{files: map[string][]byte{}, what: map[string]string{}}
	level := levels[random.IntN(len(levels))]
	for range 1 + random.IntN(2*filesAtOnce) {
		p.damage(random, level[random.IntN(len(level))], c)
	}
	for key, b := range c.files {
		if bytes.Equal(b, p.files[key]) { // nothing became of it
			delete(c.files, key)
			delete(c.what, key)
		}
	}
	return c
}

// taken says whether a file cannot be damaged beside those that are.
func (p *pristine) taken(c change, key string) bool {
	if c.what[key] != "" {
		return true
	}
	kind := p.kindOf[key]
	if kind != "manifest" && kind != "manifest list" {
		return false
	}
	for other := range c.what {
		if filepath.Dir(other) == filepath.Dir(key) {
			return true
		}
	}
	return false
}

// damage adds the damage of one more file of a kind.
func (p *pristine) damage(random *rand.Rand, kind string, c change) {
	of := p.kinds[kind]
	key := of[random.IntN(len(of))]
	if p.taken(c, key) || len(c.files) >= filesAtOnce {
		return
	}
	b := bytes.Clone(p.files[key])
	block := func() (int, int) { // somewhere, of a size that a disk may lose
		size := min(len(b), []int{1, 16, 512, 4096}[random.IntN(4)])
		return random.IntN(len(b) - size + 1), size
	}
	what := ""
	switch random.IntN(8) {
	case 0:
		what = "flip a bit"
		bit := random.IntN(8 * len(b))
		b[bit/8] ^= 1 << (bit % 8)
	case 1:
		what = "flip bits"
		for range 2 + random.IntN(30) {
			bit := random.IntN(8 * len(b))
			b[bit/8] ^= 1 << (bit % 8)
		}
	case 2:
		what = "zero a block"
		at, n := block()
		clear(b[at : at+n])
	case 3:
		what = "swap blocks"
		at, n := block()
		to := random.IntN(len(b) - n + 1)
		first, second := bytes.Clone(b[at:at+n]), bytes.Clone(b[to:to+n])
		copy(b[at:], second)
		copy(b[to:], first)
	case 4:
		what = "truncate"
		b = b[:random.IntN(len(b))]
	case 5:
		what = "append"
		b = append(b, b[:1+random.IntN(len(b))]...)
	case 6:
		what = "exchange"
		other := of[random.IntN(len(of))]
		if len(c.files) == 0 && random.IntN(4) == 0 {
			other = p.keys[random.IntN(len(p.keys))] // of another kind
		}
		if other == key || p.taken(c, other) || strings.HasPrefix(kind, "manifest") && filepath.Dir(other) == filepath.Dir(key) {
			return
		}
		c.files[other], c.what[other], b = p.files[key], what, bytes.Clone(p.files[other])
	case 7:
		what = "stale copy"
		at := slices.Index(of, key)
		b = bytes.Clone(p.files[of[max(0, at-1-random.IntN(3))]])
	}
	c.files[key], c.what[key] = b, what
}

// bench is a folder in which one lake after the other is damaged.
type bench struct {
	*pristine
	dir, state string
}

// put gives files a content, as new files under their names.
func (w *bench) put(files map[string][]byte) error {
	for key, b := range files {
		path := filepath.Join(w.dir, key)
		if err := errors.Join(os.Remove(path), os.WriteFile(path, b, 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// restore makes the lake what it was.
func (w *bench) restore(keys []string) error {
	old := map[string][]byte{}
	for _, key := range keys {
		old[key] = w.files[key]
	}
	return w.put(old)
}

// try applies damage, and says what is wrong about how it was found: verify has to name
// every file of which nothing that reaches it was damaged; opening, to write or to follow, has to name one, or
// else every answer has to be right.
func (w *bench) try(c change, follow bool) (where string, err error) {
	if err := w.put(c.files); err != nil {
		return "", err
	}
	ctx := context.Background()
	keys := slices.Collect(maps.Keys(c.files))
	names := func(text string) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.Contains(text, k) })
	}
	level := func(key string) int {
		return slices.IndexFunc(levels, func(kinds []string) bool { return slices.Contains(kinds, w.kindOf[key]) })
	}
	mixed := slices.ContainsFunc(keys, func(k string) bool { return level(k) != level(keys[0]) })
	r, err := engine.VerifyLake(ctx, engine.Options{Data: w.dir}, nil)
	if err != nil {
		return "", fmt.Errorf("verify: %w", err)
	}
	if found := fmt.Sprint(r.Findings); mixed && !names(found) {
		return "", fmt.Errorf("verify does not name the file: %s", found)
	} else if !mixed {
		for _, key := range keys {
			if !strings.Contains(found, key) {
				return "", fmt.Errorf("verify does not name %s: %s", key, found)
			}
		}
	}
	o := engine.Options{Data: w.dir, State: w.state, Settings: testSettings(), MemoryBytes: 2 << 30, Log: quiet(), ReadOnly: follow}
	if !follow {
		o.State = ""
	}
	e, err := engine.Open(ctx, o)
	if err != nil {
		if lake.CodeOf(err) != lake.CodeDamaged || !names(err.Error()) {
			return "", fmt.Errorf("open: %w (%s)", err, lake.CodeOf(err))
		}
		return "at open", w.restore(keys)
	}
	opened := &opened{Engine: e}
	got, err := opened.content()
	err = errors.Join(err, e.Close(ctx))
	switch {
	case err != nil && (lake.CodeOf(err) != lake.CodeDamaged || !names(err.Error())):
		return "", fmt.Errorf("query: %w (%s)", err, lake.CodeOf(err))
	case err == nil && got != w.content:
		return "", fmt.Errorf("a wrong answer:\n%s", got)
	}
	where = "by verify, and not needed"
	if err != nil {
		where = "by a query"
	}
	if follow {
		return where, w.restore(keys)
	}
	return where, w.reset() // the opening wrote to the lake
}

// reset copies the lake anew.
func (w *bench) reset() error {
	if err := os.RemoveAll(w.dir); err != nil {
		return err
	}
	for key, b := range w.files {
		path := filepath.Join(w.dir, key)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// TestI7Mutations damages durable files in every way that disks and people do, one
// lake at a time: no wrong answer, no crash, and the file is named.
func TestI7Mutations(t *testing.T) {
	total, seed := mutationCount(t), testSeed(t)
	p := newPristine(t)
	if len(p.kinds) != 8 {
		t.Fatalf("kinds of files: %v", slices.Sorted(maps.Keys(p.kinds)))
	}
	var mu sync.Mutex
	done, lakes, found, kinds := 0, 0, map[string]int{}, map[string]int{}
	var wg sync.WaitGroup
	for n := range runtime.GOMAXPROCS(0) {
		w := &bench{p, filepath.Join(t.TempDir(), "lake"), filepath.Join(t.TempDir(), "state")}
		if err := w.reset(); err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(uint64(seed), uint64(n)))
		wg.Go(func() {
			for i := 0; ; i++ {
				mu.Lock()
				enough := done >= total || t.Failed()
				mu.Unlock()
				if enough {
					return
				}
				c := p.mutate(random)
				if len(c.files) == 0 {
					continue
				}
				where, err := w.try(c, i%4 == 3)
				if err != nil {
					t.Errorf("%v (lake %d, mutation %d): %v", c.what, n, i, err)
					return
				}
				mu.Lock()
				done, lakes = done+len(c.files), lakes+1
				found[where]++
				for key, what := range c.what {
					kinds[what]++
					kinds[p.kindOf[key]]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d mutated files in %d lakes of %d files: found %v; %v", done, lakes, len(p.keys), found, kinds)
}
