package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// The test binary is the worker too, as `tarn worker` is: with the real serving
// database, or with a stand-in that can be told to misbehave.
const roleVariable = "TARN_TEST_WORKER"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "serving":
		os.Exit(Main(context.Background(), os.Stdin, os.Stderr))
	case "bypass":
		os.Exit(bypassMain())
	case "orphan":
		os.Exit(orphanParent())
	case "standin":
		os.Exit(serveProcess(context.Background(), os.Stdin, os.Stderr, openStandin(true)))
	}
	goleak.VerifyTestMain(m)
}

// standin is a backend whose SQL says what happens:
//
//	rows N            N rows
//	rows N sleep      N rows, then nothing until the query ends
//	rows N crash      N rows, then the worker dies
//	rows N error      N rows, then an error
//	rows N memory     N rows, then too little memory; in a second run N rows
//	sleep             nothing until the query ends
//	linger rows N     in the first generation nothing until the query ends, then N rows
//	hang              nothing, whatever the query's context says
//	crash             the worker dies
//	crash first       it dies in the first generation
//	fatal             an error that ends the worker
type standin struct {
	die     func(error)
	process bool

	generation int64

	mu struct {
		sync.Mutex
		heard int64
		asked map[string]int // by a query's id
	}
	unhang chan struct{}
	once   sync.Once
}

func openStandin(process bool) makeBackend {
	return func(_ context.Context, open Open, log *slog.Logger, die func(error)) (backend, error) {
		if len(open.LakeDirs) > 0 && open.LakeDirs[0] == "refuse" {
			return nil, errors.New("it does not open")
		}
		if len(open.LakeDirs) > 0 {
			if _, err := os.Stat(filepath.Join(open.LakeDirs[0], "refuse")); err == nil {
				return nil, errors.New("it does not open for now")
			}
		}
		log.Info("standin opened", "generation", open.Generation)
		return &standin{die: die, process: process, generation: open.Generation, unhang: make(chan struct{})}, nil
	}
}

func (s *standin) Replay(_ context.Context, entries []lake.Entry, end int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(len(entries)) != end { // as the tests' replay gives them
		return fmt.Errorf("a replay of %d entries at %d", len(entries), end)
	}
	s.mu.heard = end
	return nil
}

func (s *standin) Hear(_ context.Context, entries []lake.Entry) (applied int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if e.Number != s.mu.heard+1 {
			return s.mu.heard, fmt.Errorf("entry %d after %d", e.Number, s.mu.heard)
		}
		s.mu.heard = e.Number
	}
	return s.mu.heard, nil
}

func (s *standin) Retry(ctx context.Context, _ uint64, sent func() bool, run func(context.Context) error) error {
	err := run(ctx)
	if lake.CodeOf(err) == lake.CodeOutOfMemory && !sent() {
		err = run(ctx)
	}
	return err
}

func (s *standin) Status(context.Context) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Status{Heard: s.mu.heard, Applied: s.mu.heard, Released: s.mu.heard}
}

func (s *standin) Image(context.Context, string, imageMessage) (Image, error) {
	return Image{}, lake.Errorf(lake.CodeUnsupported, "a stand-in has no images")
}

func (s *standin) Images() Images { return Images{} }

func (s *standin) Close() error {
	s.once.Do(func() { close(s.unhang) })
	return nil
}

// count counts the runs of a query.
func (s *standin) count(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.asked == nil {
		s.mu.asked = map[string]int{}
	}
	s.mu.asked[id]++
	return s.mu.asked[id]
}

func (s *standin) crash() {
	if s.process {
		fmt.Fprintln(os.Stderr, "last words of the worker")
		os.Exit(2)
	}
	s.die(errors.New("last words of the worker"))
	<-s.unhang // the connections are closed by now
	panic(http.ErrAbortHandler)
}

func (s *standin) Query(ctx context.Context, req QueryRequest) (answer, error) {
	words := strings.Fields(req.SQL)
	if words[0] == "linger" {
		if s.generation == 1 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		words = words[1:]
	}
	a := &standinAnswer{s: s, run: s.count(req.ID)}
	if words[0] == "rows" {
		a.left, _ = strconv.Atoi(words[1])
		words = words[2:]
	}
	if len(words) > 0 {
		a.then = words
	}
	if a.left > 0 || len(words) == 0 {
		return a, nil
	}
	return a, a.act(ctx)
}

type standinAnswer struct {
	s    *standin
	run  int // from 1
	left int
	then []string
}

var standinSchema = arrow.NewSchema([]arrow.Field{{Name: "n\x01é", Type: arrow.PrimitiveTypes.Int64}}, nil)

func (a *standinAnswer) Head() rows.Head {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	return rows.Head{ReadPoints: map[string]lake.Place{"heard": {ReadPoint: lake.ReadPoint{Sequence: a.s.mu.heard}}}}
}
func (a *standinAnswer) Columns() []rows.Column {
	return []rows.Column{{Name: "n\x01é", Type: "BIGINT"}}
}
func (a *standinAnswer) Schema() *arrow.Schema { return standinSchema }
func (a *standinAnswer) Close()                {}

func (a *standinAnswer) Next(ctx context.Context) (arrow.RecordBatch, error) {
	if a.left == 0 {
		if len(a.then) == 0 {
			return nil, io.EOF
		}
		return nil, a.act(ctx)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	n := min(a.left, 2048)
	a.left -= n
	b := array.NewInt64Builder(memory.DefaultAllocator)
	for i := range n {
		b.Append(int64(i))
	}
	return array.NewRecordBatch(standinSchema, []arrow.Array{b.NewArray()}, int64(n)), nil
}

func (a *standinAnswer) act(ctx context.Context) error {
	switch a.then[0] {
	case "sleep":
		<-ctx.Done()
		return ctx.Err()
	case "hang":
		<-a.s.unhang
		return errors.New("unhung")
	case "error":
		return lake.Errorf(lake.CodeSQLInvalid, "as told").WithHint("tell it otherwise")
	case "memory":
		if a.run > 1 {
			return io.EOF
		}
		return lake.Errorf(lake.CodeOutOfMemory, "too little memory")
	case "fatal":
		return fatal{errors.New("fatal as told")}
	case "crash":
		if len(a.then) > 1 && a.s.generation > 1 {
			a.left, a.then = 1, nil
			return nil
		}
		a.s.crash()
	}
	return nil
}

// history is the state behind a test's stream: its replay is all of it.
type history struct {
	entries []lake.Entry
	stream  *Stream
}

func newHistory() *history {
	h := &history{}
	h.stream = NewStream(func() []lake.Entry { return append([]lake.Entry(nil), h.entries...) })
	return h
}

func (h *history) add(e lake.Entry) int64 {
	return h.stream.Do(func() []lake.Entry {
		h.entries = append(h.entries, e)
		return []lake.Entry{e}
	})
}

// each runs a test with workers in processes and inside this one.
func each(t *testing.T, f func(t *testing.T, o Options)) {
	t.Run("process", func(t *testing.T) {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		f(t, Options{Command: []string{exe}, Env: []string{roleVariable + "=standin"}, Log: testLog(t)})
	})
	t.Run("inside", func(t *testing.T) {
		f(t, Options{backend: openStandin(false), Log: testLog(t)})
	})
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, nil))
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Helper()
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// start starts a supervisor and checks at the end that nothing of it is left.
func start(t *testing.T, o Options, stream *Stream) *Supervisor {
	t.Helper()
	s, err := Start(t.Context(), o, stream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pid := s.Stats().PID
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error("the second Close:", err)
		}
		if _, err := os.Stat(s.dir.path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind", s.dir.path)
		}
		if o.Command != nil && pid != 0 {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
				t.Errorf("process %d is left behind", pid)
			}
		}
	})
	return s
}

var queryNumber struct {
	sync.Mutex
	n int
}

func newID() string {
	queryNumber.Lock()
	defer queryNumber.Unlock()
	queryNumber.n++
	return fmt.Sprintf("q%d", queryNumber.n)
}

// ask runs a query to its end.
func ask(ctx context.Context, s *Supervisor, req QueryRequest) (string, *Result, error) {
	if req.ID == "" {
		req.ID = newID()
	}
	if req.Format == 0 {
		req.Format = rows.OutNDJSON
	}
	if req.Deadline.IsZero() {
		req.Deadline = time.Now().Add(60 * time.Second)
	}
	res, err := s.Query(ctx, req)
	if err != nil {
		return "", nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), res, err
}
