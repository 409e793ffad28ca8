package guard

import (
	"context"
	"fmt"
	"testing"

	"tarn/internal/access"
	"tarn/internal/engine"
	"tarn/internal/lake"
)

// heard is a lake that notes what reaches it; what is not noted panics.
type heard struct {
	engine.Door
	calls []string
}

func (h *heard) Attach(_ context.Context, r engine.AttachRequest) (*engine.Job, error) {
	h.calls = append(h.calls, "attach "+r.Dataset.String()+" "+r.Source.Location)
	return nil, nil
}

func (h *heard) Sync(_ context.Context, name lake.Name) (*engine.Job, error) {
	h.calls = append(h.calls, "sync "+name.String())
	return nil, nil
}

func (h *heard) Detach(_ context.Context, name lake.Name) (engine.Description, error) {
	h.calls = append(h.calls, "detach "+name.String())
	return engine.Description{}, nil
}

// TestAttached: to attach takes admin, as it names places of the machine, whatever a
// token may do with the name; sync and detach take what a change of the dataset takes.
func TestAttached(t *testing.T) {
	grant := func(pattern string, role access.Role) *access.Principal {
		p, err := lake.ParseNamePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		return &access.Principal{ID: "t", Grants: []access.Grant{{Pattern: p, Role: role}}}
	}
	name := lake.Name{Namespace: "main", Dataset: "trips"}
	for _, c := range []struct {
		who                  *access.Principal
		attach, sync, detach lake.Code
	}{
		{&access.Principal{ID: "t", Role: access.Admin}, "", "", ""},
		{&access.Principal{ID: "t", Role: access.Write}, lake.CodeAccessDenied, "", ""},
		{&access.Principal{ID: "t", Role: access.Read}, lake.CodeAccessDenied, lake.CodeAccessDenied, lake.CodeAccessDenied},
		{grant("trips", access.Write), lake.CodeAccessDenied, "", ""},
		{grant("trips", access.Read), lake.CodeAccessDenied, lake.CodeAccessDenied, lake.CodeAccessDenied},
		{grant("orders", access.Write), lake.CodeAccessDenied, lake.CodeDatasetNotFound, lake.CodeDatasetNotFound},
	} {
		h := &heard{}
		d := New(h, c.who)
		_, attach := d.Attach(t.Context(), engine.AttachRequest{Dataset: name})
		_, sync := d.Sync(t.Context(), name)
		_, detach := d.Detach(t.Context(), name)
		reach := 0
		for i, err := range []error{attach, sync, detach} {
			want := []lake.Code{c.attach, c.sync, c.detach}[i]
			if want == "" {
				reach++
			}
			if (err == nil) != (want == "") || err != nil && lake.CodeOf(err) != want {
				t.Errorf("%+v, call %d: %v, want %q", c.who, i, err, want)
			}
		}
		if len(h.calls) != reach {
			t.Errorf("%+v: the lake heard %s, want %d calls", c.who, fmt.Sprint(h.calls), reach)
		}
	}
}
