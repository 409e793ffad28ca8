package lake

import (
	"encoding/json"
	"strings"
	"testing"
)

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"orders", "sales.orders", "Main.X", "a.b.c", ".", "a.", ".a", "*", "a*", "*.*", "sales.or*", "information_schema.x", "_tarn.x", "a\x00", "ä", "İ", "ﬁ", strings.Repeat("a", 129)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		p, perr := ParseNamePattern(s)
		if err != nil {
			if CodeOf(err) != CodeInvalidRequest {
				t.Errorf("%q: %v", s, err)
			}
		} else {
			again, err := ParseName(n.String())
			if err != nil || again.Key() != n.Key() || strings.ContainsAny(n.SQL(), "\x00';\\") {
				t.Errorf("%q is %+v, and read again %+v, %v", s, n, again, err)
			}
			if perr != nil || !p.Has(n) {
				t.Errorf("the name %q as a pattern: %v, %v", s, p, perr)
			}
		}
		if perr != nil {
			return
		}
		var back NameSet
		text, err := json.Marshal(NewNameSet(p))
		if err == nil {
			err = json.Unmarshal(text, &back)
		}
		if err != nil || back.patterns[0] != p {
			t.Errorf("%q travels as %s: %v, %v", s, text, back, err)
		}
	})
}

func TestNameSet(t *testing.T) {
	in := func(s string) Name {
		n, err := ParseName(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var all *NameSet
	if !all.Has(in("x")) || !all.HasAll([]Name{in("x"), in("y.z")}) || all.SQL("a", "b") != "true" {
		t.Error("nil is all")
	}
	none := NewNameSet()
	if none.Has(in("x")) || !none.HasAll(nil) || none.HasAll([]Name{in("x")}) || none.SQL("a", "b") != "(false)" {
		t.Error("an empty set has nothing")
	}
	for _, s := range []*NameSet{all, none} { // as they travel within a message
		text, err := json.Marshal(struct {
			V *NameSet `json:"v,omitempty"`
		}{s})
		var back struct {
			V *NameSet `json:"v,omitempty"`
		}
		if err == nil {
			err = json.Unmarshal(text, &back)
		}
		if err != nil || (back.V == nil) != (s == nil) || back.V.Has(in("x")) != s.Has(in("x")) {
			t.Errorf("%s: %v, %v", text, back.V, err)
		}
	}
}
