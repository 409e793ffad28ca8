package cli

import "testing"

func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{"", "query_timeout: 5s\n", "listen: [1]", "a: &a {<<: *a}", "- x", "? {a: b}\n: c", "\xff", "listen: !!binary YQ==", "listen: ~", "listen: |\n  x\n  y", "---\n---\n"} {
		f.Add([]byte(s))
	}
	known := []string{"listen", "query_timeout"}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseConfig("tarn.yaml", text, known)
		if err != nil {
			return
		}
		for name := range got {
			if name != "listen" && name != "query_timeout" {
				t.Errorf("%q is no setting", name)
			}
		}
	})
}
