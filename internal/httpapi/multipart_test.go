package httpapi

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// The closing delimiter is found wherever reads happen to part it.
func TestClosingWatch(t *testing.T) {
	const want = "\n--XX--"
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"\n", "-", "--", "X", "XX", "\r\n--XX", "\n--XX--", "data"})).Draw(t, "text"), "")
		size := rapid.IntRange(1, 12).Draw(t, "size")
		w := &closingWatch{src: iotest.DataErrReader(strings.NewReader(text)), want: []byte(want), carry: []byte("\n")}
		var got strings.Builder
		if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, w, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if got.String() != text {
			t.Fatalf("passed on %q of %q", got.String(), text)
		}
		if seen := strings.Contains("\n"+text, want); w.seen != seen {
			t.Fatalf("%q by %d: seen %v, want %v", text, size, w.seen, seen)
		}
	})
}

func TestReadColumns(t *testing.T) {
	tests := map[string]string{
		"a": "a", "a,b": "a|b", `"a,b",c`: "a,b|c", `a,"b""c"`: `a|b"c`, "a b": "a b", `"a"`: "a", `a"b`: `a"b`,
		"": "!", ",": "!", "a,": "!", `"a`: "!", `"a"b`: "!", `""`: "!", `"a",`: "!", `,"a"`: "!",
	}
	for in, want := range tests {
		got, err := readColumns(in)
		if err != nil {
			got = []string{"!"}
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%s: %q, want %s", in, got, want)
		}
	}
}
