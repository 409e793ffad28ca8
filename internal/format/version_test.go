package format_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"tarn/internal/format"
	"tarn/internal/lake"
)

func version() format.Version {
	return format.Version{
		Number: 12, Epoch: 4, UUID: "0193a6d4-8f1b-7c3e-a2d5-1e0f9b8c7d6e",
		LakeUUID: "2b9d5c1e-7a40-4f0e-8a51-6f3c2d1e0b9a", Root: "file:///srv/lake",
		Time: time.Date(2026, 11, 23, 10, 20, 30, 0, time.UTC),
		Datasets: []format.DatasetEntry{{
			Namespace: "main", Name: "timesheets", TableUUID: "6f1e3a52-58b7-4d0c-9c0a-3f5a0e6b7c11",
			Metadata:       "base/main/timesheets-6f1e3a52-58b7-4d0c-9c0a-3f5a0e6b7c11/metadata/00003-8d1f2c3b-4a59-6877-8695-a4b3c2d1e0f9.metadata.json",
			TrimmedThrough: 5,
		}},
		Requests: []format.RequestEntry{{
			Key: "import-1", Hash: "0123456789abcdef0123456789abcdef",
			Time: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Status: 201, Answer: json.RawMessage(`{"rows":2467000}`),
		}},
	}
}

func TestVersionRoundTrip(t *testing.T) {
	for name, v := range map[string]format.Version{"full": version(), "empty": {Number: 1, Epoch: 1}} {
		b, err := format.EncodeVersion(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := format.DecodeVersion("catalog/1.json", b)
		if err != nil {
			t.Fatal(name, err)
		}
		again, err := format.EncodeVersion(got)
		if err != nil || !bytes.Equal(b, again) {
			t.Errorf("%s: not the same bytes again: %v\n%s\n%s", name, err, b, again)
		}
		if got.Number != v.Number || got.FormatVersion != format.VersionFormat || len(got.Datasets) != len(v.Datasets) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestVersionClone(t *testing.T) {
	v := version()
	c := v.Clone()
	c.Datasets[0].Name = "x"
	c.Requests[0].Answer[0] = 'x'
	c.Datasets = append(c.Datasets, format.DatasetEntry{})
	if !reflect.DeepEqual(v, version()) {
		t.Error("an edit of the clone changed the version")
	}
}

// TestVersionMutations: I7, no flipped bit and no cut in a version goes
// unnoticed.
func TestVersionMutations(t *testing.T) {
	b, err := format.EncodeVersion(version())
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, m []byte) {
		t.Helper()
		_, err := format.DecodeVersion("catalog/12.json", m)
		if !errors.Is(err, lake.ErrDamaged) || !strings.Contains(err.Error(), "catalog/12.json") {
			t.Fatalf("%s: %v", what, err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		for range 3 {
			m := bytes.Clone(b)
			m[i] ^= byte(1 + r.IntN(255))
			check(fmt.Sprintf("byte %d", i), m)
		}
		check(fmt.Sprintf("cut at %d", i), b[:i])
	}
	check("appended", append(bytes.Clone(b), '\n'))
}

func TestVersionOfTheFuture(t *testing.T) {
	b, err := format.EncodeVersion(version())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"newer format":    {`"format_version": 1`, `"format_version": 2`},
		"unknown feature": {`"features": []`, `"features": ["v3"]`},
	} {
		m := resum([]byte(strings.Replace(string(b), change[0], change[1], 1)), len("{\n  \"sum\": \""))
		if _, err := format.DecodeVersion("catalog/12.json", m); lake.CodeOf(err) != lake.CodeUnsupported || lake.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// resum takes the sum of a file anew, as docs/format says it is taken.
func resum(file []byte, pos int) []byte {
	copy(file[pos:], strings.Repeat("0", 32))
	h := xxh3.Hash128(file)
	copy(file[pos:], fmt.Sprintf("%016x%016x", h.Hi, h.Lo))
	return file
}
