package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// damagedLake makes a lake that has every kind of durable file, several of each,
// and gives its content.
func damagedLake(t *testing.T, dir string) string {
	t.Helper()
	o := openLake(t, dir, marking)
	for i, n := range []string{"t", "u"} {
		o.createAs(2+i, n, schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
		var lines []string
		for i := range 300 {
			lines = append(lines, fmt.Sprintf(`{"id":%d,"v":"%s"}`, i, n))
		}
		o.change(n, engine.OpUpsert, lines...)
		for i := range 3 {
			o.compact(n)
			o.change(n, engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":"again"}`, i), fmt.Sprintf(`{"id":%d,"v":"%s"}`, 1000+i, n))
		}
		o.change(n, engine.OpDelete, `{"id":20}`)
	}
	content := o.mustContent()
	o.close()
	return content
}

// kindOf names the kind of a durable file by its key.
func kindOf(key string) string {
	name := filepath.Base(key)
	switch {
	case strings.HasPrefix(key, "catalog/"):
		return "catalog version"
	case strings.HasPrefix(key, "deltas/"):
		return "delta"
	case strings.HasSuffix(name, ".metadata.json"):
		return "metadata"
	case strings.HasPrefix(name, "snap-"):
		return "manifest list"
	case strings.HasSuffix(name, ".avro"):
		return "manifest"
	case strings.HasSuffix(name, ".puffin"):
		return "deletion vector"
	case strings.HasPrefix(name, "deletes-"):
		return "position deletes"
	case strings.HasSuffix(name, ".parquet"):
		return "data file"
	}
	return ""
}

func durableFiles(t testing.TB, dir string) map[string][]string {
	kinds := map[string][]string{}
	for _, key := range filesUnder(t, dir) {
		if kind := kindOf(key); kind != "" {
			kinds[kind] = append(kinds[kind], key)
		}
	}
	return kinds
}

// mutation is one damage to a file, maybe at the cost of another.
type mutation struct {
	kind, what string
	keys       []string
	do         func(dir string) error
	// unseen says that files alone cannot tell: the newest numbered object is
	// gone. absentOK: the object may be missing.
	unseen, absentOK bool
}

func (m mutation) String() string { return m.kind + " " + m.what + " " + m.keys[0] }

// names says whether an error or finding names the file.
func (m mutation) names(text string) bool {
	return slices.ContainsFunc(m.keys, func(k string) bool { return strings.Contains(text, k) })
}

func flip(random *rand.Rand, key string) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, key)
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		bit := random.IntN(8 * len(b))
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte{b[bit/8] ^ 1<<(bit%8)}, int64(bit/8))
		return errors.Join(err, f.Close())
	}
}

func exchange(a, b string) func(string) error {
	return func(dir string) error {
		x, y, aside := filepath.Join(dir, a), filepath.Join(dir, b), filepath.Join(dir, "aside")
		return errors.Join(os.Rename(x, aside), os.Rename(y, x), os.Rename(aside, y))
	}
}

// mutations are all damages that the test does to a lake.
func mutations(random *rand.Rand, kinds map[string][]string) []mutation {
	var out []mutation
	for kind, keys := range kinds {
		for i, key := range keys {
			numbered := kind == "catalog version" || kind == "delta"
			newest := i == len(keys)-1 || filepath.Dir(keys[i+1]) != filepath.Dir(key)
			for range 2 {
				out = append(out, mutation{kind: kind, what: "flip", keys: []string{key}, do: flip(random, key)})
			}
			out = append(out,
				mutation{kind: kind, what: "truncate", keys: []string{key}, do: func(dir string) error {
					fi, err := os.Stat(filepath.Join(dir, key))
					if err != nil {
						return err
					}
					return os.Truncate(filepath.Join(dir, key), random.Int64N(fi.Size()))
				}},
				mutation{
					kind: kind, what: "delete", keys: []string{key}, unseen: numbered && newest, absentOK: kind == "catalog version",
					do: func(dir string) error { return os.Remove(filepath.Join(dir, key)) },
				})
			if other := keys[(i+1+random.IntN(len(keys)-1))%len(keys)]; other != key {
				out = append(out, mutation{kind: kind, what: "exchange", keys: []string{key, other}, do: exchange(key, other)})
			}
		}
	}
	slices.SortFunc(out, func(a, b mutation) int { return strings.Compare(a.String(), b.String()) })
	return out
}

func copyLake(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(from, path)
		switch {
		case err != nil || rel == ".":
			return err
		case d.IsDir():
			return os.Mkdir(filepath.Join(to, rel), 0o755)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// TestI7DamageIsFound damages one durable file of a copied lake at a time: the
// lake does not open, or does not answer, or Verify says so, always by the
// file's name; and no answer is wrong.
func TestI7DamageIsFound(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 7))
	lakeDir := t.TempDir()
	content := damagedLake(t, lakeDir)
	kinds := durableFiles(t, lakeDir)
	if len(kinds) != 8 {
		t.Fatalf("kinds of files: %v", kinds)
	}
	all := mutations(random, kinds)
	where := map[string]int{}
	for _, m := range all {
		dir := copyLake(t, lakeDir)
		if err := m.do(dir); err != nil {
			t.Fatal(err)
		}
		place, err := foundAtOpen(dir, content, m)
		if err != nil {
			t.Errorf("seed %d: %v: %v", seed, m, err)
		}
		where[place]++
	}
	t.Logf("%d mutations of closed lakes, found %v, seed %d", len(all), where, seed)
}

// foundAtOpen says where the damage of a lake shows when it is opened.
func foundAtOpen(dir, content string, m mutation) (where string, err error) {
	e, err := engine.Open(context.Background(), engine.Options{Data: dir, Settings: testSettings(), MemoryBytes: 2 << 30, Log: quiet()})
	if err != nil {
		if lake.CodeOf(err) != lake.CodeDamaged || !m.names(err.Error()) {
			return "", fmt.Errorf("open: %w (%s)", err, lake.CodeOf(err))
		}
		return "at open", nil
	}
	o := &opened{Engine: e}
	defer func() { err = errors.Join(err, o.Close(context.Background())) }()
	r, err := o.Verify(context.Background(), nil)
	if err != nil {
		return "", fmt.Errorf("verify: %w", err)
	}
	found := slices.ContainsFunc(r.Findings, func(f engine.Finding) bool { return m.names(f.Key + " " + f.Problem) })
	got, err := o.content()
	switch {
	case err != nil && lake.CodeOf(err) == lake.CodeDamaged && m.names(err.Error()):
		return "by a query", nil
	case err != nil:
		return "", fmt.Errorf("query: %w", err)
	case m.unseen && len(r.Findings) == 0:
		return "nowhere, as documented", nil // and the content is that of the time before
	case got != content:
		return "", fmt.Errorf("a wrong answer:\n%s\nfindings %v", got, r.Findings)
	case m.absentOK && len(r.Findings) == 0:
		return "nowhere, as nobody needs it", nil
	case !found:
		return "", fmt.Errorf("Verify found %v", r.Findings)
	}
	return "by Verify", nil
}

// TestI7DamageWhileOpen damages one durable file of an open lake at a time:
// Verify names it, and queries give the right answer or an error that names it,
// also of a worker that was started since.
func TestI7DamageWhileOpen(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 8))
	lakeDir := t.TempDir()
	content := damagedLake(t, lakeDir)
	refused, answered := 0, 0
	all := mutations(random, durableFiles(t, lakeDir))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	tried := map[string]int{} // two of a sort are enough
	all = slices.DeleteFunc(all, func(m mutation) bool { tried[m.kind+m.what]++; return tried[m.kind+m.what] > 2 })
	for _, m := range all {
		dir := copyLake(t, lakeDir)
		o := openLake(t, dir)
		if err := o.is(content); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, m.keys[0])); err != nil {
			o.close() // cleared up at open
			continue
		}
		if err := m.do(dir); err != nil {
			t.Fatal(err)
		}
		for _, when := range []string{"", "after the worker's death "} {
			got, err := o.content()
			switch {
			case err == nil && got != content:
				t.Errorf("seed %d: %v: %sa wrong answer:\n%s", seed, m, when, got)
			case err != nil && (lake.CodeOf(err) != lake.CodeDamaged || !m.names(err.Error())):
				t.Errorf("seed %d: %v: %squery: %v (%s)", seed, m, when, err, lake.CodeOf(err))
			case err != nil:
				refused++
			default:
				answered++
			}
			o.KillWorker()
		}
		r, err := o.Verify(context.Background(), nil)
		if err != nil {
			t.Errorf("seed %d: %v: verify: %v", seed, m, err)
		}
		if !m.unseen && !m.absentOK && !slices.ContainsFunc(r.Findings, func(f engine.Finding) bool { return m.names(f.Key + " " + f.Problem) }) {
			t.Errorf("seed %d: %v: Verify found %v", seed, m, r.Findings)
		}
		o.close()
	}
	t.Logf("%d mutations of open lakes: %d right answers, %d refused, seed %d", len(all), answered, refused, seed)
}

// TestTouchedFilesAreReadOn: files of a base that have other times and the same bytes are
// verified anew and read on, by the worker that runs and by the next.
func TestTouchedFilesAreReadOn(t *testing.T) {
	dir := t.TempDir()
	content := damagedLake(t, dir)
	o := openLake(t, dir)
	defer o.close()
	for i, kind := range []string{"data file", "position deletes"} {
		at := time.Unix(int64(1_000_000_000+i), 0)
		for _, key := range durableFiles(t, dir)[kind] {
			if err := os.Chtimes(filepath.Join(dir, key), at, at); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := o.is(content); err != nil {
				t.Errorf("each %s was touched: %v", kind, err)
			}
			o.KillWorker()
		}
	}
	o.verifyClean()
}
