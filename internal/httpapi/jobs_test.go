package httpapi_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/lake"
)

func csvFile(name, text string) client.File {
	return client.File{Name: name, ContentType: "text/csv", Size: int64(len(text)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	}}
}

func TestImportByClient(t *testing.T) {
	d := newDoor()
	c := serve(t, d)
	var sent, total int64
	var states []engine.JobState
	res, err := c.Import(t.Context(), lake.Name{Namespace: "ns", Dataset: "new"}, []client.File{csvFile("a.csv", "id\n1"), csvFile(`b "odd", name.csv`, "id\n22")}, client.ImportOptions{
		Mode: engine.ImportReplace, PrimaryKey: []string{"id", `a,"b`}, OnDuplicate: engine.DuplicateLast, IdempotencyKey: "k1",
		Sent:     func(n, of int64) { sent, total = n, of },
		Progress: func(j client.Job) { states = append(states, j.State) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Dataset != "ns.new" || res.Rows != 3 || res.Files != 2 {
		t.Errorf("result %+v", res)
	}
	if sent != 9 || total != 9 {
		t.Errorf("sent %d of %d bytes", sent, total)
	}
	if len(states) != 1 || states[0] != engine.JobDone {
		t.Errorf("progress %v", states)
	}
	log := strings.Join(d.heard(), "\n")
	for _, want := range []string{
		`import ns.new mode="replace" key=["id" "a,\"b"] on_duplicate="last"`,
		`{"k1" "POST\n/datasets/ns.new/import\n`, `\nmultipart/form-data"}`,
		`file "a.csv" CSV "text/csv" "id\n1"`, `file "b \"odd\", name.csv" CSV "text/csv" "id\n22"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the lake did not hear %s in\n%s", want, log)
		}
	}
}

func TestImportFails(t *testing.T) {
	c := serve(t, newDoor())
	broken := errors.New("the disk is on fire")
	tests := map[string]struct {
		files []client.File
		code  lake.Code
		text  string
	}{
		"no file":              {nil, lake.CodeInvalidRequest, "no file"},
		"the job fails":        {[]client.File{csvFile("a.csv", "fail:key_conflict")}, lake.CodeKeyConflict, "told to fail"},
		"a file does not open": {[]client.File{{Name: "x", ContentType: "text/csv", Open: func() (io.ReadCloser, error) { return nil, broken }}}, lake.CodeInternal, "on fire"},
		"a type not known":     {[]client.File{{Name: "x", ContentType: "image/png", Open: csvFile("", "").Open}}, lake.CodeUnsupportedMedia, "part x"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := c.Import(t.Context(), lake.Name{Namespace: "main", Dataset: "new"}, test.files, client.ImportOptions{})
			if lake.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%s: %v", lake.CodeOf(err), err)
			}
		})
	}
}

// A job goes on when the client that waits for it goes away, and its result is
// there afterwards.
func TestJobOutlivesItsClient(t *testing.T) {
	d := newDoor()
	c := serve(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Import(ctx, lake.Name{Namespace: "main", Dataset: "slow"}, []client.File{csvFile("a.csv", "id\n1")}, client.ImportOptions{
		Progress: func(client.Job) { cancel() }, // it has been started, and is looked at for the first time
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	j, err := c.Job(t.Context(), "job-1")
	if err != nil || j.State != engine.JobRunning || j.Over() {
		t.Errorf("%+v, %v", j, err)
	}
}

func TestCompactByClient(t *testing.T) {
	d := newDoor()
	c := serve(t, d)
	name := ts()
	one, err := c.Compact(t.Context(), client.CompactOptions{Dataset: &name, PrimaryKey: []string{"id"}})
	if err != nil || len(one) != 1 || one[0].FinalRows != 3 {
		t.Errorf("%+v, %v", one, err)
	}
	all, err := c.Compact(t.Context(), client.CompactOptions{DryRun: true})
	if err != nil || len(all) != 1 || all[0].FinalRows != -1 || !all[0].DryRun {
		t.Errorf("%+v, %v", all, err)
	}
	if got := strings.Join(d.heard(), "; "); got != `compact ts key=["id"] dry=false; compact all dry=true` {
		t.Error(got)
	}
}
