package base

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/iceberg-go/table/dv"
)

// vectorBlob puts bitmaps into the frame of a deletion vector, with the right sum.
func vectorBlob(bitmaps []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(bitmaps)))
	b = binary.LittleEndian.AppendUint32(b, dv.DVMagicNumber)
	b = append(b, bitmaps...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// TestVectorsThatMakeNoSense: each has the right sum, and the library takes it.
func TestVectorsThatMakeNoSense(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, c := range map[string]struct{ bitmaps, want string }{
		"very many bitmaps": {"\x00\x00\x00\x02\x00\x00\x00\x00", "cannot hold"},
		"a run of nothing":  {"\x01\x00\x00\x00\x00\x00\x00\x000000;0\x01\x00700000000\x01\x000000\x00\x00", "broken"},
	} {
		if _, err := decodeVector(vectorBlob([]byte(c.bitmaps)), -1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 8<<20 {
		t.Errorf("%d bytes were taken", after.TotalAlloc-before.TotalAlloc)
	}
}

// FuzzVector: what is decoded has its rows once, in order, and comes back the same.
func FuzzVector(f *testing.F) {
	for _, rows := range [][]uint64{nil, {0}, {1, 2, 3}, {7, 1 << 33}, {65535, 65536}} {
		v := dv.NewRoaringPositionBitmap()
		for _, r := range rows {
			v.Set(r)
		}
		b, err := dv.SerializeDV(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[8 : len(b)-4])
	}
	third := dv.NewRoaringPositionBitmap()
	for r := range uint64(20_000) {
		if r%3 == 0 {
			third.Set(r)
		}
	}
	b, err := dv.SerializeDV(third)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[8 : len(b)-4])
	f.Fuzz(func(t *testing.T, bitmaps []byte) {
		v, err := decodeVector(vectorBlob(bitmaps), -1)
		if err != nil {
			return
		}
		again := dv.NewRoaringPositionBitmap()
		n := int64(0)
		for r := range v.Positions() {
			if n++; n > 1<<20 {
				t.Skip("a run may stand for very many")
			}
			again.Set(r)
		}
		if n != v.Cardinality() {
			t.Fatalf("%d rows of %d", n, v.Cardinality())
		}
		one, err := dv.SerializeDV(again)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeVector(one, n); err != nil || back.Cardinality() != n {
			t.Fatalf("not read again: %v", err)
		}
		if two, err := dv.SerializeDV(v); err != nil || !bytes.Equal(one, two) {
			t.Fatalf("other rows than it says: %v", err)
		}
	})
}
