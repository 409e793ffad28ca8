package serving

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"tarn/internal/lake"
)

func keyOf(width int, n uint64) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint64(b, n)
	return b[8-width:]
}

// A filter never denies a key that was added, whatever the keys look like, and
// affirms few others.
func TestKeyFilter(t *testing.T) {
	one := func(k lake.Kind) lake.Schema {
		return lake.Schema{Key: []string{"k"}, Columns: []lake.Column{{Name: "k", Type: lake.Type{Kind: k}}}}
	}
	for _, c := range []struct {
		name  string
		kind  lake.Kind
		key   func(i int) []byte
		bytes int64 // at most, for 200,000 keys
		wrong float64
	}{
		{"dense", lake.Bigint, func(i int) []byte { return keyOf(8, 1<<63+uint64(i)) }, 40_000, 0},
		{"every tenth", lake.Integer, func(i int) []byte { return keyOf(4, uint64(i)*10) }, 800_000, 0.02}, // sparse at first
		{"sparse", lake.Bigint, func(i int) []byte { return keyOf(8, uint64(i)*0x9E3779B97F4A7C15) }, 800_000, 0.02},
		{"text", lake.Varchar, func(i int) []byte { return fmt.Appendf(nil, "key %d", i) }, 800_000, 0.02},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newKeyFilter(one(c.kind))
			const n = 200_000
			for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
				f.add(c.key(i))
			}
			for i := range n {
				if !f.has(c.key(i)) {
					t.Fatalf("key %d was added and is denied", i)
				}
			}
			wrong := 0
			for i := range n {
				if f.has(c.key(n + i)) {
					wrong++
				}
			}
			if float64(wrong) > c.wrong*n || f.bytes() > c.bytes || float64(f.keys) < (1-c.wrong)*n || f.keys > n {
				t.Fatalf("%d of %d absent keys affirmed, %d bytes, %d keys counted", wrong, n, f.bytes(), f.keys)
			}
		})
	}
}
