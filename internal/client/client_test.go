package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// The calls against the real handler are tested beside it, in httpapi. Here is
// what a server must not be able to do to a client.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func against(t *testing.T, h http.HandlerFunc) *Client {
	c, end := NewInMemory(h)
	t.Cleanup(end)
	return c
}

func ts() lake.Name { return lake.Name{Namespace: "main", Dataset: "ts"} }

func TestNewRefusesWhatIsNoServer(t *testing.T) {
	for _, base := range []string{"", "127.0.0.1:7070", "ftp://x", "http://", "http://x?q=1", "http://x#f", "://"} {
		if _, err := New(base, nil); lake.CodeOf(err) != lake.CodeInvalidRequest {
			t.Errorf("%q: %v", base, err)
		}
	}
	c, err := New("http://127.0.0.1:7070/", nil)
	if err != nil || c.base != "http://127.0.0.1:7070" {
		t.Errorf("%v, %v", c, err)
	}
}

func TestErrorsOfTheConnection(t *testing.T) {
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, `{"rows":`)
	}
	body := func() Body {
		return Body{ContentType: "application/json", Reader: strings.NewReader("[]"), Length: 2}
	}
	upsert := func(c *Client) error {
		_, err := c.Upsert(context.Background(), ts(), body(), ChangeOptions{})
		return err
	}
	describe := func(c *Client) error { _, err := c.Describe(context.Background(), ts()); return err }
	tests := map[string]struct {
		handler http.HandlerFunc
		call    func(*Client) error
		want    lake.Code
	}{
		"a change without an answer":        {cut, upsert, lake.CodeUnknownOutcome},
		"a change with half an answer":      {half, upsert, lake.CodeUnknownOutcome},
		"a drop without an answer":          {cut, func(c *Client) error { return c.Drop(context.Background(), ts(), "") }, lake.CodeUnknownOutcome},
		"a compaction without an answer":    {cut, func(c *Client) error { _, err := c.Compact(context.Background(), CompactOptions{}); return err }, lake.CodeUnknownOutcome},
		"a read without an answer":          {cut, describe, lake.CodeUnavailable},
		"a read with half an answer":        {half, describe, lake.CodeUnavailable},
		"an answer that is not JSON":        {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, describe, lake.CodeInternal},
		"an error that is not tarn's":       {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad gateway", http.StatusBadGateway) }, describe, lake.CodeInternal},
		"an error that looks like tarn's":   {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"code":""}`, 500) }, describe, lake.CodeInternal},
		"a redirect":                        {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, describe, lake.CodeInternal},
		"a problem keeps code, step, hint":  {problemHandler, describe, lake.CodeLocked},
		"a job's error keeps code and step": {jobHandler, func(c *Client) error { _, err := c.WaitJob(context.Background(), "j", nil); return err }, lake.CodeKeyConflict},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := test.call(against(t, test.handler))
			if lake.CodeOf(err) != test.want {
				t.Errorf("%s: %v", lake.CodeOf(err), err)
			}
			if strings.Contains(name, "step") {
				var e *lake.Error
				if !errors.As(err, &e) || e.Step != "s" || e.Msg != "d" || e.Hint != "h" {
					t.Errorf("%#v", err)
				}
			}
		})
	}
}

const problemJSON = `{"code":%q,"detail":"d","step":"s","hint":"h"}`

func problemHandler(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(503)
	fmt.Fprintf(w, problemJSON, lake.CodeLocked)
}

func jobHandler(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":"j","state":"failed","error":`+problemJSON+`}`, lake.CodeKeyConflict)
}

func TestNoServer(t *testing.T) {
	c, end := NewInMemory(http.NotFoundHandler())
	end()
	end() // twice is once
	if _, err := c.Datasets(t.Context()); lake.CodeOf(err) != lake.CodeUnavailable || lake.HintOf(err) == "" {
		t.Errorf("a read: %v", err)
	}
	if err := c.Drop(t.Context(), ts(), ""); lake.CodeOf(err) != lake.CodeUnavailable {
		t.Errorf("a change that was never sent has a known outcome: %v", err)
	}
}

// A body whose source fails is not an error of the connection.
func TestBodyThatCannotBeRead(t *testing.T) {
	broken := errors.New("the disk is on fire")
	c := against(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	_, err := c.Upsert(t.Context(), ts(), Body{ContentType: "text/csv", Reader: io.MultiReader(strings.NewReader("id\n"), failing{broken}), Length: -1}, ChangeOptions{})
	if !errors.Is(err, broken) || lake.CodeOf(err) == lake.CodeUnknownOutcome {
		t.Errorf("%v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// An answer is whole only when its trailers say so.
func TestAnswerWithoutTrailersIsCut(t *testing.T) {
	tests := map[string]http.HandlerFunc{
		"no trailers": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a") },
		"no row count": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(http.TrailerPrefix+"Tarn-Elapsed-Ms", "1")
			io.WriteString(w, "a")
		},
		"no time": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(http.TrailerPrefix+"Tarn-Row-Count", "1")
			io.WriteString(w, "a")
		},
		"a length said": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1")
			io.WriteString(w, "a")
		},
	}
	for name, h := range tests {
		t.Run(name, func(t *testing.T) {
			ans, err := against(t, h).SQL(t.Context(), Query{SQL: "SELECT 1", Format: rows.OutCSV})
			if err != nil {
				t.Fatal(err)
			}
			defer ans.Close()
			for range 2 { // the end stays the end
				if _, err := io.ReadAll(ans); lake.CodeOf(err) != lake.CodeUnavailable {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

func TestAnswerWithAHeaderThatDoesNotParse(t *testing.T) {
	c := against(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Tarn-Read-Points", "{") })
	if _, err := c.SQL(t.Context(), Query{SQL: "SELECT 1", Format: rows.OutCSV}); lake.CodeOf(err) != lake.CodeInternal {
		t.Errorf("%v", err)
	}
	if _, err := c.SQL(t.Context(), Query{SQL: "SELECT 1"}); lake.CodeOf(err) != lake.CodeInternal {
		t.Errorf("no format: %v", err)
	}
}

// A job is looked at until it ends; time in the bubble passes when all wait.
func TestWaitJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		c, end := NewInMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			looks++
			state := engine.JobRunning
			if looks == 5 {
				state = engine.JobDone
			}
			fmt.Fprintf(w, `{"id":"j","state":%q,"progress":{"step":"read","done":%d,"total":5},"result":{"rows":3}}`, state, looks)
		}))
		defer end()
		var seen []int64
		j, err := c.WaitJob(t.Context(), "j", func(j Job) { seen = append(seen, j.Progress.Done) })
		if err != nil || string(j.Result) != `{"rows":3}` || fmt.Sprint(seen) != "[1 2 3 4 5]" {
			t.Errorf("%+v, %v, %v", j, err, seen)
		}
	})
}

// A body of no bytes is sent as none.
func TestEmptyBody(t *testing.T) {
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if len(b) != 0 || err != nil || r.ContentLength != 0 {
			t.Errorf("%q, %v, length %d", b, err, r.ContentLength)
		}
		io.WriteString(w, "{}")
	})
	if _, err := c.Upsert(t.Context(), ts(), Body{ContentType: "text/csv", Reader: strings.NewReader(""), Length: 0}, ChangeOptions{}); err != nil {
		t.Error(err)
	}
}

// After an upload that the server refuses early, no file is left open. Closing
// takes its time, which in the bubble passes when all wait.
func TestUploadRefusedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := 0
		big := File{Name: "big", ContentType: "text/csv", Size: 1 << 30, Open: func() (io.ReadCloser, error) {
			return &counted{io.LimitReader(zeros{}, 1<<30), &closed}, nil
		}}
		c, end := NewInMemory(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.ReadFull(r.Body, make([]byte, 100_000))
			problemHandler(w, r)
		}))
		defer end()
		_, err := c.Import(t.Context(), ts(), []File{big}, ImportOptions{})
		if lake.CodeOf(err) != lake.CodeLocked || closed != 1 {
			t.Errorf("%v, closed %d times", err, closed)
		}
	})
}

// Ending a handler in memory cancels what it handles, and waits for it.
func TestInMemoryEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := false
		c, end := NewInMemory(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			time.Sleep(time.Hour)
			over = true
		}))
		go c.Health(context.Background())
		synctest.Wait()
		if end(); !over {
			t.Error("a call is still being handled")
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counted struct {
	io.Reader
	closed *int
}

func (c *counted) Close() error {
	time.Sleep(time.Second)
	*c.closed++
	return nil
}
