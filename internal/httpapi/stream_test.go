package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tarn/internal/client"
	"tarn/internal/httpapi"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// formats are all formats of answers.
func formats() map[string]rows.OutFormat {
	return map[string]rows.OutFormat{"json": rows.OutJSON, "ndjson": rows.OutNDJSON, "csv": rows.OutCSV, "arrow": rows.OutArrow, "parquet": rows.OutParquet}
}

func serve(t *testing.T, d *door) *client.Client {
	c, end := client.NewInMemory(httpapi.New(d, httpapi.Options{NewQueryID: firstQuery}))
	t.Cleanup(end)
	return c
}

func TestAnswerWholeInEveryFormat(t *testing.T) {
	c := serve(t, newDoor())
	for name, f := range formats() {
		t.Run(name, func(t *testing.T) {
			ans, err := c.SQL(t.Context(), client.Query{SQL: "SELECT 1", Format: f})
			if err != nil {
				t.Fatal(err)
			}
			defer ans.Close()
			body, err := io.ReadAll(ans)
			if err != nil || string(body) != "one two three" {
				t.Fatalf("body %q, %v", body, err)
			}
			if got, want := ans.Tail(), (rows.Tail{RowCount: 3, ElapsedMS: 1.5}); got != want {
				t.Errorf("tail %v, want %v", got, want)
			}
			if ans.QueryID != "q-1" {
				t.Errorf("query id %q", ans.QueryID)
			}
			if f != rows.OutJSON && (ans.Head.ReadPoints["ts"].Sequence != 7 || ans.Head.ServedFrom["ts"] != "parquet") {
				t.Errorf("head %+v", ans.Head)
			}
		})
	}
}

// An error after the first byte ends the connection, so that no client takes a
// part for the whole: neither ours nor one that knows nothing of trailers.
func TestAnswerCutInEveryFormat(t *testing.T) {
	d := newDoor()
	hc, end := client.InMemory(httpapi.New(d, httpapi.Options{}))
	t.Cleanup(end)
	c := serve(t, d)
	for name, f := range formats() {
		t.Run(name, func(t *testing.T) {
			ans, err := c.SQL(t.Context(), client.Query{SQL: "late:out_of_memory", Format: f})
			if err == nil { // else the cut came before the header was read
				defer ans.Close()
				_, err = io.ReadAll(ans)
			}
			if lake.CodeOf(err) != lake.CodeUnavailable || !strings.Contains(err.Error(), "cut") {
				t.Errorf("our client read to the end: %v", err)
			}

			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://tarn/query/sql", strings.NewReader("late:out_of_memory"))
			req.Header.Set("Content-Type", "text/plain")
			req.Header.Set("Accept", strings.Split(f.ContentType(), ";")[0])
			res, err := hc.Do(req)
			if err != nil {
				t.Fatalf("the header did not come: %v", err)
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("a plain client read %q to the end: %v", body, err)
			}
		})
	}
}

func TestAnswerFailsEarlyWithItsStatus(t *testing.T) {
	c := serve(t, newDoor())
	for name, f := range formats() {
		_, err := c.SQL(t.Context(), client.Query{SQL: "early:out_of_memory", Format: f})
		want := &lake.Error{Code: lake.CodeOutOfMemory, Step: "do as told", Msg: "told to fail", Hint: "do not tell"}
		var got *lake.Error
		if !errors.As(err, &got) || *got != *want {
			t.Errorf("%s: %#v, want %#v", name, err, want)
		}
	}
}

// watched is a body that blocks until its query is cancelled, after some bytes.
type watched struct {
	ctx    context.Context
	first  []byte
	closed chan struct{}
}

func (w *watched) Read(p []byte) (int, error) {
	if len(w.first) > 0 {
		n := copy(p, w.first)
		w.first = w.first[n:]
		return n, nil
	}
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}

func (w *watched) Close() error { close(w.closed); return nil }

// A client that goes away cancels its query, before and after the first byte.
func TestClientThatGoesAwayCancels(t *testing.T) {
	for name, first := range map[string]string{"before the first byte": "", "in the middle": "some"} {
		t.Run(name, func(t *testing.T) {
			d := newDoor()
			closed, asked := make(chan struct{}), make(chan struct{})
			d.body = func(ctx context.Context) io.ReadCloser {
				close(asked)
				return &watched{ctx: ctx, first: []byte(first), closed: closed}
			}
			c := serve(t, d)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			got := make(chan error, 1)
			go func() {
				ans, err := c.SQL(ctx, client.Query{SQL: "SELECT 1", Format: rows.OutCSV})
				if err == nil {
					defer ans.Close()
					if _, err = io.ReadFull(ans, make([]byte, len(first))); err != nil {
						got <- err
						return
					}
					cancel()
					_, err = io.ReadAll(ans)
				}
				got <- err
			}()
			<-asked
			if first == "" {
				cancel()
			}
			if err := <-got; !errors.Is(err, context.Canceled) {
				t.Errorf("the client was told %v", err)
			}
			<-closed
		})
	}
}

// endless gives bytes without end.
type endless struct{ closed chan struct{} }

func (e *endless) Read(p []byte) (int, error) { return len(p), nil }
func (e *endless) Close() error               { close(e.closed); return nil }

// A client that does not read is cut once the query's deadline has passed. The
// time in the bubble passes when all wait.
func TestSlowClientIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		d.deadline = time.Now().Add(time.Minute)
		closed := make(chan struct{})
		d.body = func(context.Context) io.ReadCloser { return &endless{closed} }
		c, end := client.NewInMemory(httpapi.New(d, httpapi.Options{}))
		defer end()
		ans, err := c.SQL(t.Context(), client.Query{SQL: "SELECT 1", Format: rows.OutCSV})
		if err != nil {
			t.Fatal(err)
		}
		defer ans.Close()
		<-closed // nobody reads
		if _, err := io.Copy(io.Discard, ans); lake.CodeOf(err) != lake.CodeUnavailable {
			t.Errorf("the answer ended with %v", err)
		}
	})
}

// The first bytes go out while the rest is still being made.
func TestAnswerStreams(t *testing.T) {
	d := newDoor()
	r, w := io.Pipe()
	d.body = func(context.Context) io.ReadCloser { return r }
	c := serve(t, d)
	go w.Write([]byte("first"))
	ans, err := c.SQL(t.Context(), client.Query{SQL: "SELECT 1", Format: rows.OutNDJSON})
	if err != nil {
		t.Fatal(err)
	}
	defer ans.Close()
	got := make([]byte, 5)
	if _, err := io.ReadFull(ans, got); err != nil || string(got) != "first" {
		t.Fatalf("%q, %v", got, err)
	}
	go func() {
		w.Write([]byte("second"))
		w.Close()
	}()
	if rest, err := io.ReadAll(ans); err != nil || string(rest) != "second" {
		t.Fatalf("%q, %v", rest, err)
	}
}

// An answer of any size comes through unchanged.
func TestLargeAnswer(t *testing.T) {
	d := newDoor()
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	d.body = func(context.Context) io.ReadCloser { return io.NopCloser(bytes.NewReader(want)) }
	c := serve(t, d)
	ans, err := c.SQL(t.Context(), client.Query{SQL: "SELECT 1", Format: rows.OutArrow})
	if err != nil {
		t.Fatal(err)
	}
	defer ans.Close()
	if got, err := io.ReadAll(ans); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

// HTTP/1.0 has no chunks, so a part could not be told from the whole.
func TestStreamsAreRefusedToHTTP10(t *testing.T) {
	near := dial(t, newDoor())
	go io.WriteString(near, "POST /query/sql HTTP/1.0\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nSELECT 1")
	res, err := http.ReadResponse(bufio.NewReader(near), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusBadRequest || !bytes.Contains(body, []byte("HTTP/1.1")) {
		t.Errorf("%s: %s", res.Status, body)
	}
}
