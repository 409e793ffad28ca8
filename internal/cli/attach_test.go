package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// others answers as a server does to which a table is attached, and notes what it is asked.
func others(t *testing.T, result string) (url string, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*asked = append(*asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasPrefix(r.URL.Path, "/jobs/"):
			fmt.Fprintf(w, `{"id":"j","kind":"attach","state":"done","progress":{"step":"","done":0,"total":0},"result":%s}`, result)
		case r.URL.Query().Get("wait") == "false":
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"job_id":"j"}`)
		default:
			fmt.Fprint(w, `{"dataset":"trips","rows":1234,"attached":{"source":"/srv/wh/trips","snapshot":"77"}}`)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func TestAttachTalksToAServer(t *testing.T) {
	const result = `{"dataset":"trips","changed":true,"attached":{"source":"/srv/wh/trips","snapshot":"77"},"rows":1234567,"files":5,"files_linked":4,"files_copied":1,"bytes_copied":2000000,"rows_on_top":3,"sequence":8}`
	url, asked := others(t, result)
	for _, c := range []struct {
		args        []string
		asked, says string
	}{
		{[]string{"attach", "trips", "/srv/wh/trips", "--primary-key", "a,b"}, `POST /datasets/trips/attach?wait=false {"location":"/srv/wh/trips","primary_key":["a","b"]}`, "trips: attached to /srv/wh/trips, at its snapshot 77: 1,234,567 rows in 5 files, 4 linked, 1 copied (2.0 MB), in "},
		{[]string{"attach", "ns.trips", "s3://wh/trips/metadata/v7.metadata.json"}, `POST /datasets/ns.trips/attach?wait=false {"location":"s3://wh/trips/metadata/v7.metadata.json"}`, "ns.trips: attached to "},
		{[]string{"attach", "trips", "sales.trips", "--catalog", "prod"}, `POST /datasets/trips/attach?wait=false {"catalog":"prod","table":"sales.trips"}`, "trips: attached to "},
		{[]string{"attach", "trips", "/srv/wh/trips", "-o", "json"}, `POST /datasets/trips/attach?wait=false {"location":"/srv/wh/trips"}`, "{\n  \"dataset\": \"trips\",\n"},
		{[]string{"sync", "trips"}, `POST /datasets/trips/sync?wait=false`, "trips: at snapshot 77 of /srv/wh/trips now: 1,234,567 rows in 5 files, of the new ones 4 linked, 1 copied (2.0 MB); 3 keys changed here stay on top; in "},
		{[]string{"sync", "trips", "-o", "json"}, `POST /datasets/trips/sync?wait=false`, "{\n  \"dataset\": \"trips\",\n"},
		{[]string{"detach", "trips"}, `POST /datasets/trips/detach`, "trips is tarn's own now: 1,234 rows\n"},
		{[]string{"detach", "trips", "-o", "json"}, `POST /datasets/trips/detach`, "{\n  \"dataset\": \"trips\",\n"},
		{[]string{"datasets", "trips"}, `GET /datasets/trips`, "attached     to /srv/wh/trips, at its snapshot 77\n"},
	} {
		*asked = nil
		out := run(t, nil, append(c.args, "--server", url)...)
		if out.code != 0 || !strings.Contains(out.stdout, c.says) {
			t.Errorf("%q: %+v, want %q", c.args, out, c.says)
		}
		if len(*asked) == 0 || (*asked)[0] != c.asked {
			t.Errorf("%q asked %q, want %q", c.args, *asked, c.asked)
		}
	}
	url, _ = others(t, `{"dataset":"trips","changed":false,"attached":{"source":"/srv/wh/trips","snapshot":""}}`)
	if got := ok(t, "sync", "trips", "--server", url); got != "trips: nothing new at /srv/wh/trips since its beginning, with no snapshot\n" {
		t.Errorf("nothing new: %q", got)
	}
}

// sync and detach make no lake where there is none.
func TestSyncAndDetachNeedALake(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	refused(t, "not_found", "sync", "trips", "--data", lake)
	refused(t, "not_found", "detach", "trips", "--data", lake)
}
