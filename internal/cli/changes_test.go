package cli_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"tarn/internal/client"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// killable is a server in a process of its own.
type killable struct {
	cmd  *exec.Cmd
	url  string
	dead sync.Once
}

// serveProcess starts one; it ends with the test.
func serveProcess(t *testing.T, dir, listen string) *killable {
	t.Helper()
	k := &killable{cmd: exec.Command(os.Args[0], "serve", "--data", dir, "--listen", listen, "--feed-heartbeat", "50ms", "--log-level", "error")}
	k.cmd.Stderr = os.Stderr
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("serve: %q, %v", line, err)
	}
	words := strings.Fields(line)
	k.url = words[len(words)-1]
	return k
}

// kill is kill -9. It may be called twice.
func (k *killable) kill() {
	k.dead.Do(func() {
		_ = k.cmd.Process.Kill()
		_ = k.cmd.Wait()
	})
}

// consume reads the feed of a dataset of one column n, and dies in the middle again and
// again; what it keeps, it keeps with the sequence that it belongs to, at once.
func consume(ctx context.Context, c *client.Client, random *rand.Rand, dataset lake.Name, want int) (kept []string, err error) {
	after := int64(0)
	for len(kept) < want {
		if ctx.Err() != nil {
			return kept, ctx.Err()
		}
		reading, die := context.WithCancel(ctx)
		a, err := c.Feed(reading, dataset, client.FeedOptions{Since: after, Follow: true, Format: rows.OutNDJSON})
		if lake.CodeOf(err) == lake.CodeUnavailable {
			die()
			select { // the server was killed: it comes back
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if err != nil {
			die()
			return kept, err
		}
		var open []string
		life := 1 + random.IntN(20)
		for e, err := range a.Events() {
			if err != nil {
				break // cut: what is open is forgotten
			}
			switch e.Op {
			case "upsert":
				open = append(open, string(e.Row))
			case "commit":
				kept, open, after = append(kept, open...), nil, e.Sequence
			case "content":
				err = fmt.Errorf("content at %d", e.Sequence)
				die()
				a.Close()
				return kept, err
			}
			if life--; life == 0 || len(kept) >= want {
				break
			}
		}
		die()
		a.Close()
	}
	return kept, nil
}

// TestAConsumerResumesExactly: a consumer of a feed that is killed in the middle, as its
// server is, has in the end every row once and in order.
func TestAConsumerResumesExactly(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dir := t.TempDir() + "/lake"
	server := serveProcess(t, dir, "127.0.0.1:0")
	ok(t, "create", "log", "--column", "n BIGINT", "--server", server.url)
	c, err := client.New(server.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dataset := lake.Name{Namespace: "main", Dataset: "log"}
	const requests, each = 40, 3
	type outcome struct {
		kept []string
		err  error
	}
	done := make(chan outcome, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	go func() {
		kept, err := consume(ctx, c, rand.New(rand.NewPCG(seed, 2)), dataset, requests*each)
		done <- outcome{kept, err}
	}()
	for i := range requests {
		var body strings.Builder
		for k := range each {
			fmt.Fprintf(&body, `{"n":%d}`+"\n", i*each+k)
		}
		if i%12 == 6 { // in the middle of what goes on
			killed := make(chan struct{})
			go func(k *killable) { defer close(killed); k.kill() }(server)
			defer func() { <-killed }()
		}
		for tries := 0; ; tries++ {
			_, err := c.Upsert(ctx, dataset, client.Body{ContentType: rows.MediaNDJSON, Reader: strings.NewReader(body.String()), Length: int64(body.Len())},
				client.ChangeOptions{IdempotencyKey: fmt.Sprint("request ", i)})
			if err == nil {
				break
			}
			if code := lake.CodeOf(err); code != lake.CodeUnavailable && code != lake.CodeUnknownOutcome && code != lake.CodeNotReady {
				t.Fatal(err)
			}
			server.kill()
			server = serveProcess(t, dir, strings.TrimPrefix(server.url, "http://"))
		}
	}
	got := <-done
	if got.err != nil {
		t.Fatalf("after %d rows: %v", len(got.kept), got.err)
	}
	for i, row := range got.kept {
		if want := fmt.Sprintf(`{"n":%d}`, i); row != want {
			t.Fatalf("row %d is %s, want %s", i, row, want)
		}
	}
	if len(got.kept) != requests*each {
		t.Errorf("%d rows, want %d", len(got.kept), requests*each)
	}
	out := ok(t, "changes", "log", "--since", "38", "--limit", "4", "--server", server.url)
	if n := strings.Count(out, `"op":"upsert"`); n != 6 || !strings.Contains(out, `"reason":"current"`) && !strings.Contains(out, `"reason":"limit"`) {
		t.Errorf("tarn changes says %s", out)
	}
	refused(t, "changes_gone", "changes", "log", "--since", "1000", "--server", server.url)
}

// exampleConsumer gives the Python of docs/HTTP.md that keeps a replica of people.
func exampleConsumer(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/HTTP.md")
	if err != nil {
		t.Fatal(err)
	}
	_, feed, _ := strings.Cut(string(text), "## Change feed")
	_, code, _ := strings.Cut(feed, "```python\n")
	code, _, found := strings.Cut(code, "```")
	if !found {
		t.Fatal("docs/HTTP.md has no example of a consumer")
	}
	return code
}

// TestTheExampleConsumerResumesExactly: the consumer of the documentation is killed again
// and again, and its server with it; changes, deletes and an import later it holds what
// the dataset does.
func TestTheExampleConsumerResumesExactly(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 here")
	}
	dir := t.TempDir()
	server := serveProcess(t, dir+"/lake", "127.0.0.1:0")
	ok(t, "create", "people", "--column", "id BIGINT", "--column", "name VARCHAR", "--primary-key", "id", "--server", server.url)
	script := writeFile(t, dir, "consumer.py", fmt.Sprintf("T = %q\n", server.url)+exampleConsumer(t))
	start := func() *killable {
		t.Helper()
		k := &killable{cmd: exec.Command(python, script)}
		k.cmd.Dir, k.cmd.Stderr = dir, os.Stderr
		if err := k.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.kill)
		return k
	}
	dump := func() string { // "" while there is nothing to read
		show := exec.Command(python, "-c", `import sqlite3
for row in sqlite3.connect("people.db").execute("SELECT id, name FROM people ORDER BY id"): print(*row, sep=",")`)
		show.Dir = dir
		out, err := show.Output()
		if err != nil {
			return ""
		}
		return string(out)
	}
	want := func() string {
		t.Helper()
		_, all, _ := strings.Cut(ok(t, "sql", "select id, name from people order by id", "-o", "csv", "--server", server.url), "\n")
		return all
	}
	reaches := func() {
		t.Helper()
		for until, last := time.Now().Add(4*time.Minute), ""; ; time.Sleep(50 * time.Millisecond) {
			is := want()
			if last = dump(); last == is {
				return
			}
			if time.Now().After(until) {
				t.Fatalf("the consumer has\n%s\nthe dataset\n%s", last, is)
			}
		}
	}
	consumer := start()
	for round := range 4 {
		var up, gone strings.Builder
		for i := range 30 {
			fmt.Fprintf(&up, `{"id":%d,"name":"r%d"}`+"\n", i*(round+1), round)
		}
		fmt.Fprintf(&gone, `{"id":%d}`+"\n", round*3)
		ok(t, "upsert", "people", writeFile(t, dir, "up.ndjson", up.String()), "--server", server.url)
		if round == 0 {
			reaches()
		}
		consumer.kill()
		ok(t, "delete", "people", writeFile(t, dir, "gone.ndjson", gone.String()), "--server", server.url)
		if round == 2 {
			ok(t, "import", "people", writeFile(t, dir, "in.csv", "id,name\n1000,in\n"), "--mode", "append", "--server", server.url)
		}
		consumer = start()
		server.kill()
		server = serveProcess(t, dir+"/lake", strings.TrimPrefix(server.url, "http://"))
	}
	reaches()
}
