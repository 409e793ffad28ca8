package format

import (
	"bytes"
	"os"
	"testing"

	"tarn/internal/lake"
)

// The sum is set right before a file is read: without that every mutation ends there,
// and whoever can write a lake's files can count sums.

func FuzzDecodeVersion(f *testing.F) {
	golden, err := os.ReadFile("testdata/catalog-version-1.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	for _, s := range []string{"", versionHead, versionHead + noSum + "\"}", versionHead + noSum + "\",\"datasets\":[null]}", versionHead + noSum + "\",\"format_version\":1,\"requests\":[{\"answer\":\"x\"}]}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		if len(b) >= len(versionHead)+sumDigits {
			copy(b[len(versionHead):], noSum)
			patchSum(b, len(versionHead))
		}
		v, err := DecodeVersion("catalog/1.json", b)
		if err != nil {
			if c := lake.CodeOf(err); c != lake.CodeDamaged && c != lake.CodeUnsupported {
				t.Errorf("code %s: %v", c, err)
			}
			return
		}
		_ = v.Clone()
		_ = v.Find("x")
		_ = v.FindName(lake.Name{Namespace: "main", Dataset: "x"})
		_ = v.FindRequest("x")
	})
}

func FuzzDecodeDelta(f *testing.F) {
	golden, err := os.ReadFile("testdata/delta-1.parquet")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte("PAR1PAR1"))
	f.Add(append(bytes.Repeat([]byte{0}, 100), "\x40\x00\x00\x00PAR1"...))
	schema := lake.Schema{Columns: []lake.Column{{ID: 1, Name: "id", Type: lake.Type{Kind: lake.Bigint}}, {ID: 2, Name: "note", Type: lake.Type{Kind: lake.Varchar}, Nullable: true}}, Key: []string{"id"}}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		if footer, err := readFooter("k", bytes.NewReader(b), int64(len(b))); err == nil {
			if at := sumAt(footer); at >= 0 {
				at += len(b) - 8 - len(footer)
				copy(b[at:], noSum)
				patchSum(b, at)
			}
		}
		_, changes, err := DecodeDelta("deltas/x/1.parquet", b, schema)
		for _, c := range changes {
			c.Rows.Release()
		}
		if err == nil {
			return
		}
		switch c := lake.CodeOf(err); c {
		case lake.CodeDamaged, lake.CodeUnsupported, lake.CodeSchemaChanged:
		default:
			t.Errorf("code %s: %v", c, err)
		}
	})
}
