package httpapi_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/httpapi"
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

var update = flag.Bool("update", false, "write what the handler answers into testdata/calls")

// TestCalls plays the sessions of testdata/calls. Each call there is a request,
// what reached the lake, and the answer.
func TestCalls(t *testing.T) {
	files, err := filepath.Glob("testdata/calls/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			after := play(t, string(before))
			if *update {
				if err := os.WriteFile(file, []byte(after), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if after != string(before) {
				t.Errorf("%s:\n%s", file, firstDifference(string(before), after))
			}
		})
	}
}

// play sends the requests of a session and writes it anew with what came back.
func play(t *testing.T, session string) string {
	d := newDoor()
	d.settings.MaxBodyBytes, d.settings.MaxSQLBytes, d.settings.MaxImportBytes = 1000, 1000, 1000
	hc, end := client.InMemory(httpapi.New(d, httpapi.Options{Version: "1.2.3", NewQueryID: firstQuery, NewRequestID: firstRequest}))
	defer end()
	var out strings.Builder
	for i, part := range strings.Split(session, "=== ") {
		if i == 0 {
			out.WriteString(part)
			continue
		}
		title, rest, _ := strings.Cut(part, "\n")
		request, _, _ := strings.Cut(rest, "--- lake\n")
		fmt.Fprintf(&out, "=== %s\n%s", title, request)
		answer := send(t, hc, title, request)
		fmt.Fprintf(&out, "--- lake\n%s--- answer\n%s\n", lines(d.heard()), answer)
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

func lines(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return strings.Join(list, "\n") + "\n"
}

// send sends a request as it is written: a line, headers, an empty line, a body
// whose lines end as HTTP wants it for multipart.
func send(t *testing.T, hc *http.Client, title, text string) string {
	head, body, _ := strings.Cut(text, "\n\n")
	sc := bufio.NewScanner(strings.NewReader(head))
	sc.Scan()
	method, target, ok := strings.Cut(sc.Text(), " ")
	if !ok {
		t.Fatalf("%s: no request line in %q", title, text)
	}
	body = strings.TrimSuffix(body, "\n")
	if strings.Contains(head, "multipart/") {
		body = strings.ReplaceAll(body, "\n", "\r\n")
	}
	req, err := http.NewRequest(method, "http://tarn"+target, strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", title, err)
	}
	for sc.Scan() {
		k, v, _ := strings.Cut(sc.Text(), ": ")
		req.Header.Add(k, v)
	}
	res, err := hc.Transport.RoundTrip(req)
	if err != nil {
		return fmt.Sprintf("no answer: %v\n", err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	got = bytes.Replace(got, []byte(`,"request_id":"`+firstRequest()+`"`), nil, 1)
	var out strings.Builder
	fmt.Fprintf(&out, "%d\n", res.StatusCode)
	writeHeaders(&out, "", res.Header)
	if len(got) > 0 {
		fmt.Fprintf(&out, "\n%s\n", strings.TrimSuffix(string(got), "\n"))
	}
	if err != nil {
		fmt.Fprintf(&out, "cut: %v\n", err)
	}
	writeHeaders(&out, "trailer ", res.Trailer)
	return out.String()
}

func writeHeaders(out *strings.Builder, kind string, h http.Header) {
	var names []string
	for name := range h {
		if name != "Date" && name != "Content-Length" && name != "X-Request-Id" { // the last has a test of its own
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range h[name] {
			fmt.Fprintf(out, "%s%s: %s\n", kind, name, v)
		}
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range w {
		if i >= len(g) || w[i] != g[i] {
			have := "nothing"
			if i < len(g) {
				have = g[i]
			}
			return fmt.Sprintf("line %d:\nwant %s\ngot  %s", i+1, w[i], have)
		}
	}
	return fmt.Sprintf("more than wanted: %s", strings.Join(g[len(w):], "\n"))
}

func firstRequest() string { return "r-1" }

var _ engine.Door = (*door)(nil)
