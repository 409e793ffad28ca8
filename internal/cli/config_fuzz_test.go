package cli

import "testing"

func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{"", "query_timeout: 5s\n", "listen: [1]", "a: &a {<<: *a}", "- x", "? {a: b}\n: c", "\xff", "listen: !!binary YQ==", "listen: ~", "listen: |\n  x\n  y", "---\n---\n", "roots: [a, b]", "roots:\n- [a]", "roots: a", "roots: {a: b}", "roots: []"} {
		f.Add([]byte(s))
	}
	known := []string{"listen", "query_timeout", "roots"}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseConfig("tarn.yaml", text, known, []string{"roots"})
		if err != nil {
			return
		}
		for name, value := range got {
			if name != "listen" && name != "query_timeout" && name != "roots" {
				t.Errorf("%q is no setting", name)
			}
			if _, list := value.([]any); list && name != "roots" {
				t.Errorf("%s is a list", name)
			}
		}
	})
}
