package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/httpapi"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

func TestNotReady(t *testing.T) {
	d := newDoor()
	d.notReady = lake.Errorf(lake.CodeNotReady, "recovering")
	if err := serve(t, d).Ready(t.Context()); lake.CodeOf(err) != lake.CodeNotReady {
		t.Errorf("%v", err)
	}
}

// brokenDoor panics, as a defect would.
type brokenDoor struct{ *door }

func (brokenDoor) List(context.Context, *lake.NameSet) ([]engine.Description, error) {
	panic("a defect")
}

type brokenBody struct{ sent bool }

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.sent {
		panic("a defect")
	}
	b.sent = true
	return copy(p, "some"), nil
}

// A defect is a clean status where one can still be given, else a cut; the
// server goes on, and the client is not shown what broke.
func TestPanicIsAProblem(t *testing.T) {
	d := newDoor()
	d.body = func(context.Context) io.ReadCloser { return io.NopCloser(&brokenBody{}) }
	c, end := client.NewInMemory(httpapi.New(brokenDoor{d}, httpapi.Options{}))
	t.Cleanup(end)
	if _, err := c.Datasets(t.Context()); lake.CodeOf(err) != lake.CodeInternal || strings.Contains(err.Error(), "a defect of") == false {
		t.Errorf("%v", err)
	}
	ans, err := c.SQL(t.Context(), client.Query{SQL: "SELECT 1", Format: rows.OutCSV})
	if err == nil {
		_, err = io.ReadAll(ans)
		ans.Close()
	}
	if lake.CodeOf(err) != lake.CodeUnavailable {
		t.Errorf("%v", err)
	}
	if _, err := c.Health(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// lockedBuffer is a buffer for logs.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Log and metrics tell of what happened, also of what was cut.
func TestLogAndMetrics(t *testing.T) {
	var log lockedBuffer
	reg := prometheus.NewRegistry()
	h := httpapi.New(newDoor(), httpapi.Options{Registry: reg, NewQueryID: firstQuery, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	httpapi.New(newDoor(), httpapi.Options{Registry: reg}) // a second handler shares the counters
	hc, end := client.InMemory(h)
	for _, call := range []string{
		"GET /v1/datasets/ts ", "GET /datasets/nope ", "POST /query/sql SELECT 1", "POST /query/sql late:out_of_memory",
		"GET /nothing/%22 ", "BREW /jobs ",
	} {
		parts := strings.SplitN(call, " ", 3)
		req, err := http.NewRequestWithContext(t.Context(), parts[0], "http://tarn"+parts[1], strings.NewReader(parts[2]))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "text/plain")
		if res, err := hc.Do(req); err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	res, err := hc.Get("http://tarn/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, _ := io.ReadAll(res.Body)
	res.Body.Close()
	end() // the handlers are done, and the log with them
	for _, want := range []string{
		`tarn_http_requests_total{method="GET",route="/datasets/{name}",status="200"} 1`,
		`tarn_http_requests_total{method="GET",route="/datasets/{name}",status="404"} 1`,
		`tarn_http_requests_total{method="POST",route="/query/sql",status="200"} 2`,
		`tarn_http_requests_total{method="GET",route="unmatched",status="404"} 1`,
		`tarn_http_requests_total{method="other",route="unmatched",status="405"} 1`,
		`tarn_http_aborted_total{method="POST",route="/query/sql"} 1`,
		`tarn_http_request_seconds_count{method="POST",route="/query/sql"} 2`,
		"tarn_http_in_flight 1",
	} {
		if !strings.Contains(string(metrics), want+"\n") {
			t.Errorf("no metric %s in\n%s", want, metrics)
		}
	}
	for _, want := range []string{
		"method=POST path=/query/sql route=/query/sql status=200", "query_id=q-1", "aborted=true code=out_of_memory",
		"code=dataset_not_found", "path=/v1/datasets/ts",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in the log\n%s", want, log.String())
		}
	}
}

// Bytes that are not UTF-8 are refused rather than replaced.
func TestNotUTF8(t *testing.T) {
	hc, end := client.InMemory(httpapi.New(newDoor(), httpapi.Options{}))
	t.Cleanup(end)
	for media, body := range map[string]string{"text/plain": "SELECT '\xff'", "application/json": "{\"sql\":\"SELECT '\xff'\"}"} {
		res, err := hc.Post("http://tarn/query/sql", media, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", media, res.Status)
		}
	}
}

// A follower says with each read how old the answer may be, and /ready how far it is;
// a server that writes the lake says nothing of it.
func TestFollowerSaysHowOldAnswersAre(t *testing.T) {
	d := newDoor()
	c, end := client.InMemory(httpapi.New(d, httpapi.Options{}))
	defer end()
	get := func(path string) (http.Header, string) {
		t.Helper()
		resp, err := c.Get("http://tarn.memory" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s, %v", path, resp.StatusCode, body, err)
		}
		return resp.Header, string(body)
	}
	if h, _ := get("/datasets/ts"); h.Get("Tarn-As-Of") != "" || h.Get("Tarn-Staleness-Ms") != "" {
		t.Errorf("a writer says %v", h)
	}
	at := time.Now().UTC().Add(-3 * time.Second)
	d.following = engine.Following{AsOf: at, MaxStaleness: time.Minute, Problem: errors.New("no way")}
	h, _ := get("/datasets/ts")
	ms, err := strconv.Atoi(h.Get("Tarn-Staleness-Ms"))
	if h.Get("Tarn-As-Of") != at.Format(time.RFC3339Nano) || err != nil || ms < 3000 {
		t.Errorf("%v, %v", h, err)
	}
	_, body := get("/ready")
	for _, want := range []string{`"as_of":"` + at.Format(time.RFC3339Nano) + `"`, `"max_staleness_ms":60000`, `"staleness_ms":3`, `"problem":"no way"`} {
		if !strings.Contains(body, want) {
			t.Errorf("/ready says %s, not %s", body, want)
		}
	}
}
