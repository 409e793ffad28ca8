package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

func (o *opened) backup(dir string, keep int) engine.BackupResult {
	o.t.Helper()
	r, err := o.tryBackup(dir, keep)
	if err != nil {
		o.t.Fatalf("back up to %s: %v", dir, err)
	}
	return r
}

func (o *opened) tryBackup(dir string, keep int) (engine.BackupResult, error) {
	j, err := o.Backup(context.Background(), engine.BackupRequest{Path: dir, Keep: keep})
	if err != nil {
		return engine.BackupResult{}, err
	}
	r, err := j.Wait(context.Background())
	if err != nil {
		return engine.BackupResult{}, err
	}
	return r.(engine.BackupResult), nil
}

// restore makes a lake of a backup in a folder of its own.
func restore(t testing.TB, from string, number int64) (string, engine.RestoreResult) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	r, err := tryRestore(from, dir, number)
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	return dir, r
}

func tryRestore(from, dir string, number int64) (engine.RestoreResult, error) {
	return engine.Restore(context.Background(), engine.RestoreRequest{Path: from, Backup: number, Options: engine.Options{
		Data: dir, Settings: testSettings(), MemoryBytes: 2 << 30, Log: quiet(),
	}}, nil)
}

// restored says that a backup becomes a whole lake with just this content.
func restored(t testing.TB, from string, number int64, content string) {
	t.Helper()
	dir, r := restore(t, from, number)
	o := openLake(t, dir)
	defer o.close()
	if err := o.is(content); err != nil {
		t.Fatalf("restored %+v: %v", r, err)
	}
}

// variedLake fills a lake with all that a catalog version can reach.
func variedLake(o *opened) {
	t := o.t
	o.create("people", schema(t, []string{"id"}, "id BIGINT", "name VARCHAR"))
	for i := range 4 {
		o.change("people", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"name":"a"}`, i), fmt.Sprintf(`{"id":%d,"name":"b"}`, 10*i))
		if i < 3 {
			o.compact("people")
		}
	}
	o.change("people", engine.OpDelete, `{"id":20}`)
	o.create("site.log", schema(t, nil, "who VARCHAR", "n BIGINT"))
	o.change("site.log", engine.OpUpsert, `{"who":"x","n":1}`)
	o.compact("site.log")
	o.change("site.log", engine.OpUpsert, `{"who":"y","n":2}`)
	o.create("empty", schema(t, []string{"id"}, "id BIGINT"))
	o.fill("filled", 1000)
	o.change("filled", engine.OpUpsert, `{"id":5,"v":-1}`)
	if _, err := o.Rename(context.Background(), name(t, "filled"), name(t, "renamed"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	o.create("gone", schema(t, nil, "n BIGINT"))
	if err := o.Drop(context.Background(), name(t, "gone"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
}

func (o *opened) mustContent() string {
	o.t.Helper()
	content, err := o.content()
	if err != nil {
		o.t.Fatal(err)
	}
	return content
}

// verifiedBackup says that verify finds a backup folder whole.
func verifiedBackup(t testing.TB, dir string, backups int) {
	t.Helper()
	r, err := engine.VerifyLake(context.Background(), engine.Options{Data: dir}, nil)
	if err != nil || len(r.Findings) > 0 || r.Backups != backups {
		t.Fatalf("verify the backups: %+v, %v", r, err)
	}
}

// TestBackupAndRestore: each backup in a folder is the lake of its instant, also
// after later ones; a second one copies what is new; keep lets go of the oldest.
func TestBackupAndRestore(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.CompactDeadShare, o.Settings.IcebergFormatVersion = 0.9, 3 })
	defer o.close()
	to := filepath.Join(t.TempDir(), "backups")
	variedLake(o)
	first := o.mustContent()
	r := o.backup(to, 0)
	if r.Backup != 1 || r.Datasets != 4 || r.CopiedFiles != r.Files || r.CopiedBytes != r.Bytes || r.Files < 20 {
		t.Fatalf("the first: %+v", r)
	}
	verifiedBackup(t, to, 1)

	o.change("people", engine.OpUpsert, `{"id":77,"name":"new"}`)
	o.compact("people")
	o.change("people", engine.OpUpsert, `{"id":78,"name":"new"}`)
	if _, err := o.importText("renamed", engine.ImportReplace, rows.CSV, nil, "", "id,v\n1,1\n"); err != nil {
		t.Fatal(err)
	}
	if err := o.Drop(context.Background(), name(t, "site.log"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	second := o.mustContent()
	r2 := o.backup(to, 0)
	if r2.Backup != 2 || r2.CopiedFiles == 0 || r2.CopiedFiles >= r2.Files/2 {
		t.Fatalf("the second: %+v", r2)
	}
	if again := o.backup(to, 0); again.Backup != 3 || again.CopiedFiles != 0 {
		t.Fatalf("with nothing changed: %+v", again)
	}
	verifiedBackup(t, to, 3)
	restored(t, to, 1, first)
	restored(t, to, 2, second)
	restored(t, to, 0, second)

	if r := o.backup(to, 2); r.Backup != 4 || r.RemovedFiles == 0 {
		t.Fatalf("keeping two: %+v", r)
	}
	verifiedBackup(t, to, 2)
	restored(t, to, 3, second)
	_, err := tryRestore(to, filepath.Join(t.TempDir(), "x"), 1)
	wantCode(t, err, lake.CodeNotFound)
}

// TestRestoredLakeGoesOn: a restored lake takes changes, folds and backups of its
// own; its history is another one, which the old folder refuses.
func TestRestoredLakeGoesOn(t *testing.T) {
	o := openLake(t, t.TempDir())
	to := filepath.Join(t.TempDir(), "backups")
	variedLake(o)
	o.backup(to, 0)
	o.change("people", engine.OpUpsert, `{"id":90,"name":"lost"}`)
	o.backup(to, 0)
	o.close()

	dir, _ := restore(t, to, 1)
	n := openLake(t, dir)
	defer n.close()
	n.change("people", engine.OpUpsert, `{"id":91,"name":"kept"}`)
	n.compact("people")
	n.want("select id from people where id >= 90", "[91]")
	n.verifyClean()
	_, err := n.tryBackup(to, 0)
	wantCode(t, err, lake.CodeInvalidRequest)
	verifiedBackup(t, to, 2)
	content := n.mustContent()
	own := filepath.Join(t.TempDir(), "own")
	n.backup(own, 0)
	restored(t, own, 0, content)
}

// TestBackupRefuses: folders that cannot be meant, and what is no backup.
func TestBackupRefuses(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	o.create("t", schema(t, nil, "n BIGINT"))
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "relative", dir, filepath.Join(dir, "backups"), filepath.Dir(dir), full, filepath.Join(link, "x")} {
		_, err := o.tryBackup(path, 0)
		wantCode(t, err, lake.CodeInvalidRequest)
	}
	to := filepath.Join(t.TempDir(), "backups")
	o.backup(to, 0)
	other := openLake(t, t.TempDir())
	_, err := other.tryBackup(to, 0)
	wantCode(t, err, lake.CodeInvalidRequest)
	other.close()
	o.close()

	// A backup folder is no lake, and a lake is no backup folder.
	_, err = engine.Open(context.Background(), engine.Options{Data: to, MemoryBytes: 2 << 30, Log: quiet()})
	wantCode(t, err, lake.CodeInvalidRequest)
	_, err = tryRestore(dir, filepath.Join(t.TempDir(), "x"), 0)
	wantCode(t, err, lake.CodeNotFound)
	for _, into := range []string{dir, full, to, filepath.Join(to, "files", "x")} {
		_, err = tryRestore(to, into, 0)
		wantCode(t, err, lake.CodeInvalidRequest)
	}
	verifiedBackup(t, to, 1)
}

// TestI2BackupIsOneInstant: while writers, compactions, imports and upkeep go on,
// a backup has all that was acknowledged before it began, and whatever it has of a
// writer it has all that the writer was told before.
func TestI2BackupIsOneInstant(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) { noRetention(&o.Settings) })
	defer o.close()
	backupIsOneInstant(o, 0)
}

// backupIsOneInstant backs a lake up under load: each of those who make it has so many
// turns from one backup to the next, or where it is 0 as many as it likes.
func backupIsOneInstant(o *opened, turns int) {
	t := o.t
	t.Helper()
	const writers = 3
	for w := range writers {
		o.create(fmt.Sprintf("a%d", w), schema(t, []string{"n"}, "n BIGINT"))
		o.create(fmt.Sprintf("b%d", w), schema(t, []string{"n"}, "n BIGINT"))
	}
	var acked [writers]atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var all []chan struct{}
	background := func(step func(i int) error) {
		mine := make(chan struct{}, max(1, turns))
		if turns == 0 {
			close(mine)
		}
		all = append(all, mine)
		wg.Go(func() {
			for i := 1; ; i++ {
				select {
				case <-stop:
					return
				case <-mine:
				}
				if err := step(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for w := range writers {
		background(func(i int) error {
			for _, d := range []string{"a", "b"} { // b only once a is acknowledged
				if _, err := o.tryChange(fmt.Sprint(d, w), engine.OpUpsert, fmt.Sprintf(`{"n":%d}`, i)); err != nil {
					return err
				}
			}
			acked[w].Store(int64(i))
			return nil
		})
	}
	background(func(i int) error {
		_, err := o.tryCompact(fmt.Sprint([]string{"a", "b"}[i%2], i%writers))
		return err
	})
	background(func(i int) error {
		_, err := o.importText("imported", engine.ImportMode(map[bool]string{true: "create", false: "replace"}[i == 1]), rows.CSV, nil, "", strings.Repeat("x\n", i%7+1))
		return err
	})
	background(func(int) error { return o.Tidy(context.Background()) })

	to := filepath.Join(t.TempDir(), "backups")
	rounds := 3
	if testing.Short() {
		rounds = 2
	}
	var least [][writers]int64
	for range rounds {
		for _, mine := range all {
			for range turns - len(mine) {
				mine <- struct{}{}
			}
		}
		var before [writers]int64
		for w := range writers {
			before[w] = acked[w].Load()
		}
		o.backup(to, 0)
		least = append(least, before)
	}
	close(stop)
	wg.Wait()
	verifiedBackup(t, to, rounds)
	for i, before := range least {
		dir, _ := restore(t, to, int64(i+1))
		r := openLake(t, dir)
		for w := range writers {
			count := func(d string) (n int64) {
				_, err := fmt.Sscanf(r.rows(fmt.Sprintf("select count(*) from %s%d", d, w))[0], "[%d]", &n)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			if a, b := count("a"), count("b"); a < b || a > b+1 || b < before[w] {
				t.Errorf("backup %d of writer %d: %d in a, %d in b; %d were acknowledged before it began", i+1, w, a, b, before[w])
			}
		}
		r.close()
	}
}

// TestI7BackupOfADamagedLake: a backup of a damaged file fails by its name, and the
// folder stays as it was.
func TestI7BackupOfADamagedLake(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 5))
	dir := t.TempDir()
	content := damagedLake(t, dir)
	to := filepath.Join(t.TempDir(), "backups")
	o := openLake(t, dir)
	o.backup(to, 0)
	o.close()
	for kind, keys := range durableFiles(t, dir) {
		if kind == "catalog version" {
			continue // the newest is the opening's own, and is in memory
		}
		hurt := copyLake(t, dir)
		o := openLake(t, hurt)
		if err := o.is(content); err != nil {
			t.Fatal(err)
		}
		fresh := filepath.Join(t.TempDir(), "fresh")
		key := keys[len(keys)-1]
		if err := flip(random, key)(hurt); err != nil {
			t.Fatal(err)
		}
		_, err := o.tryBackup(fresh, 0)
		reachable := err != nil
		if reachable && (!errors.Is(err, lake.ErrDamaged) || !strings.Contains(err.Error(), key)) {
			t.Errorf("seed %d: a flipped bit of the %s %s: %v", seed, kind, key, err)
		}
		if !reachable && slices.Contains([]string{"delta", "data file", "position deletes", "deletion vector"}, kind) {
			t.Errorf("seed %d: the backup of the damaged %s %s went through", seed, kind, key)
		}
		if _, err := tryRestore(fresh, filepath.Join(t.TempDir(), "x"), 0); reachable && lake.CodeOf(err) != lake.CodeNotFound {
			t.Errorf("a failed backup was taken for one: %v", err)
		}
		o.close()
	}
	verifiedBackup(t, to, 1)
	restored(t, to, 0, content)
}

// TestI7DamagedBackup: each damage of a backup folder is found by verify and by
// restore, by the file's name; what the lake still has, the next backup mends.
func TestI7DamagedBackup(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 6))
	dir := t.TempDir()
	content := damagedLake(t, dir)
	to := filepath.Join(t.TempDir(), "backups")
	o := openLake(t, dir)
	defer o.close()
	o.backup(to, 0)
	tried := map[string]int{} // two of a kind are enough
	for _, key := range filesUnder(t, to) {
		kind := kindOf(strings.TrimPrefix(key, "files/"))
		if tried[kind]++; strings.HasPrefix(key, "state") || key == "lock" || tried[kind] > 2 {
			continue
		}
		for what, do := range map[string]func(dir string) error{
			"flip":   flip(random, key),
			"delete": func(dir string) error { return os.Remove(filepath.Join(dir, key)) },
			"cut":    func(dir string) error { return os.Truncate(filepath.Join(dir, key), random.Int64N(50)) },
		} {
			hurt := copyLake(t, to)
			if err := do(hurt); err != nil {
				t.Fatal(err)
			}
			lakeKey := strings.TrimPrefix(key, "files/")
			manifest := strings.HasPrefix(key, "backups/")
			r, err := engine.VerifyLake(context.Background(), engine.Options{Data: hurt}, nil)
			if err != nil {
				t.Fatalf("seed %d: %s %s: %v", seed, what, key, err)
			}
			named := strings.Contains(fmt.Sprint(r.Findings), lakeKey)
			if !named && !(manifest && what == "delete") { // a deleted newest manifest leaves nothing to see
				t.Errorf("seed %d: %s %s: verify found %v", seed, what, key, r.Findings)
			}
			_, err = tryRestore(hurt, filepath.Join(t.TempDir(), "x"), 0)
			if !(errors.Is(err, lake.ErrDamaged) && strings.Contains(err.Error(), lakeKey)) && !(manifest && what == "delete" && lake.CodeOf(err) == lake.CodeNotFound) {
				t.Errorf("seed %d: %s %s: restore: %v", seed, what, key, err)
			}
			if manifest {
				continue
			}
			_, err = o.tryBackup(hurt, 0)
			if err != nil {
				t.Errorf("seed %d: %s %s: the next backup: %v", seed, what, key, err)
				continue
			}
			verifiedBackup(t, hurt, 2)
		}
	}
	restored(t, to, 0, content)
}

// TestBackupIsCancelled: a cancelled backup leaves the earlier ones, and the next
// one goes on where it stopped.
func TestBackupIsCancelled(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	to := filepath.Join(t.TempDir(), "backups")
	variedLake(o)
	content := o.mustContent()
	j, err := o.Backup(context.Background(), engine.BackupRequest{Path: to})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.CancelJob(j.Info().ID); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Wait(context.Background()); err != nil {
		wantCode(t, err, lake.CodeCancelled)
		if _, err := tryRestore(to, filepath.Join(t.TempDir(), "x"), 0); lake.CodeOf(err) != lake.CodeNotFound {
			t.Fatalf("a cancelled backup: %v", err)
		}
	}
	o.backup(to, 0)
	restored(t, to, 0, content)
}
