package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/httpapi"
	"tarn/internal/lake"
)

// dial gives a bare connection to a handler.
func dial(t *testing.T, d engine.Door) net.Conn {
	hc, end := client.InMemory(httpapi.New(d, httpapi.Options{}))
	conn, err := hc.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "tarn:80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); end() })
	return conn
}

// A body that says it is too large is refused before the client sends it.
func TestTooLargeBeforeTheBody(t *testing.T) {
	d := newDoor()
	d.settings.MaxBodyBytes, d.settings.MaxImportBytes = 1000, 1000
	for _, path := range []string{"rows", "changes", "delete", "get", "import"} {
		conn := dial(t, d)
		fmt.Fprintf(conn, "POST /datasets/ts/%s HTTP/1.1\r\nHost: tarn\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n", path)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}

// A client that waits for 100-continue is told to go on, once somebody reads.
func TestExpectContinue(t *testing.T) {
	conn := dial(t, newDoor())
	fmt.Fprint(conn, "POST /datasets/ts/rows HTTP/1.1\r\nHost: tarn\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	br := bufio.NewReader(conn)
	for _, want := range []int{http.StatusContinue, http.StatusOK} {
		res, err := http.ReadResponse(br, nil)
		if err != nil || res.StatusCode != want {
			t.Fatalf("%v, %v; want %d", res, err, want)
		}
		if want == http.StatusContinue {
			fmt.Fprint(conn, "[]")
		}
	}
}

// A body of no said length is bounded too.
func TestTooLargeWhileReading(t *testing.T) {
	d := newDoor()
	d.settings.MaxBodyBytes = 1000
	c := serve(t, d)
	_, err := c.Upsert(t.Context(), ts(), client.Body{ContentType: "application/json", Reader: strings.NewReader(strings.Repeat("x", 1001)), Length: -1}, client.ChangeOptions{})
	if lake.CodeOf(err) != lake.CodeTooLarge {
		t.Errorf("%v", err)
	}
}

func ts() lake.Name { return lake.Name{Namespace: "main", Dataset: "ts"} }

// A body that stands still ends the request. The time in the bubble passes when
// all wait.
func TestBodyThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, end := client.NewInMemory(httpapi.New(newDoor(), httpapi.Options{UploadIdle: time.Minute}))
		defer end()
		r, w := io.Pipe()
		defer w.Close()
		go w.Write([]byte("["))
		_, err := c.Upsert(t.Context(), ts(), client.Body{ContentType: "application/json", Reader: r, Length: -1}, client.ChangeOptions{})
		if lake.CodeOf(err) != lake.CodeInvalidRequest || !strings.Contains(err.Error(), "1m0s") {
			t.Errorf("%v", err)
		}
	})
}

// After a body was read, time does not end the request: its job may be long.
func TestNoDeadlineAfterTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hc, end := client.InMemory(httpapi.New(&slowDoor{door: newDoor()}, httpapi.Options{UploadIdle: time.Minute}))
		defer end()
		res, err := hc.Post("http://tarn/datasets/slow/import", "text/csv", strings.NewReader("id\n1"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", res.Status, text)
		}
	})
}

// slowDoor takes an hour over an import and over a change, and says how the
// change's context was at its end.
type slowDoor struct {
	*door
	ended error
	done  bool
}

func (d *slowDoor) Import(ctx context.Context, r engine.ImportRequest) (*engine.Job, error) {
	f, err := r.Next()
	if err == nil {
		_, err = io.Copy(io.Discard, f.Body)
	}
	if err != nil {
		return nil, err
	}
	job := d.start("import", r.Dataset.String())
	go func() {
		time.Sleep(time.Hour)
		job.end(engine.JobDone, engine.ImportResult{Rows: 1}, nil)
	}()
	return job.Job, nil
}

func (d *slowDoor) Change(ctx context.Context, r engine.ChangeRequest) (engine.ChangeResult, error) {
	res, err := d.door.Change(ctx, r)
	time.Sleep(time.Hour)
	d.ended, d.done = ctx.Err(), true
	return res, err
}

// A client that goes away does not cancel a change that has arrived, and is told
// that it does not know.
func TestChangeOutlivesItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDoor{door: newDoor()}
		c, end := client.NewInMemory(httpapi.New(d, httpapi.Options{}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.Upsert(ctx, ts(), client.Body{ContentType: "application/json", Reader: strings.NewReader("[]"), Length: 2}, client.ChangeOptions{})
		if lake.CodeOf(err) != lake.CodeUnknownOutcome {
			t.Errorf("the client was told %v", err)
		}
		end() // waits for the call
		if !d.done || d.ended != nil {
			t.Errorf("the change ended: %v, with its context %v", d.done, d.ended)
		}
	})
}

// What has arrived is given to the lake while the next part is not yet sent.
func TestMultipartStreams(t *testing.T) {
	r, w := io.Pipe()
	mw := multipart.NewWriter(w)
	next := make(chan struct{})
	go func() {
		for i := range 2 {
			part, err := mw.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="f"; filename="f.csv"`}, "Content-Type": {"text/csv"}})
			if err != nil {
				return // the reader is gone, which the test has seen
			}
			fmt.Fprintf(part, "id\n%d", i)
			if i == 0 {
				fmt.Fprint(part, strings.Repeat("\n7", 8<<10)) // past every buffer
				<-next
			}
		}
		mw.Close()
		w.Close()
	}()
	hc, end := client.InMemory(httpapi.New(&watchingDoor{door: newDoor(), read: next}, httpapi.Options{}))
	t.Cleanup(end)
	res, err := hc.Post("http://tarn/datasets/new/import", mw.FormDataContentType(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || !strings.Contains(string(body), `"files":2`) {
		t.Errorf("%s: %s", res.Status, body)
	}
}

// watchingDoor says when the first byte of the first file was read.
type watchingDoor struct {
	*door
	read chan struct{}
}

func (d *watchingDoor) Import(ctx context.Context, r engine.ImportRequest) (*engine.Job, error) {
	next, first := r.Next, true
	r.Next = func() (engine.ImportFile, error) {
		f, err := next()
		if err == nil && first {
			first = false
			if _, err := io.ReadFull(f.Body, make([]byte, 1)); err != nil {
				return f, err
			}
			close(d.read)
		}
		return f, err
	}
	return d.door.Import(ctx, r)
}

// A client that goes away in the middle of its upload brings nothing in.
func TestUploadThatBreaksOff(t *testing.T) {
	d := newDoor()
	conn := dial(t, d)
	fmt.Fprint(conn, "POST /datasets/new/import HTTP/1.1\r\nHost: tarn\r\nContent-Type: text/csv\r\nContent-Length: 100\r\n\r\nid\n1")
	conn.Close()
	for {
		log := strings.Join(d.heard(), "\n")
		if strings.Contains(log, "body:") {
			if !strings.Contains(log, "broke off after 4 bytes") {
				t.Errorf("the lake was told %s", log)
			}
			break
		}
		time.Sleep(time.Millisecond)
	}
	if jobs := d.Jobs(); len(jobs) != 0 {
		t.Errorf("a job was started: %v", jobs)
	}
}

// A multipart body that ends between two parts is not taken for the whole.
func TestMultipartThatEndsBetweenParts(t *testing.T) {
	d := newDoor()
	hc, end := client.InMemory(httpapi.New(d, httpapi.Options{}))
	t.Cleanup(end)
	part := "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.csv\"\r\nContent-Type: text/csv\r\n\r\nid\r\n"
	for _, body := range []string{part + "--XX\r\n", part + "--XX", part + "--XX\r\nContent-", "", "--XX"} {
		res, err := hc.Post("http://tarn/datasets/new/import", "multipart/form-data; boundary=XX", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %s %s", body, res.Status, text)
		}
	}
	if jobs := d.Jobs(); len(jobs) != 0 {
		t.Errorf("jobs were started: %v", jobs)
	}
}
