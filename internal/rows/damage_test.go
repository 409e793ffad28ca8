package rows_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// damage decodes a body that may be damaged: an error must be one of a body.
func damage(t *testing.T, f rows.Format, body []byte, s lake.Schema, must bool) {
	t.Helper()
	// A panic in a library, which Decode recovers, may leak: no checked memory.
	o := rows.DecodeOptions{Schema: s, MaxBatchBytes: 1 << 20, Alloc: memory.DefaultAllocator}
	_, err := decode(t, f, bytes.NewReader(body), o)
	if code := lake.CodeOf(err); err != nil && code != lake.CodeInvalidRequest && code != lake.CodeRowsInvalid || must && err == nil {
		t.Errorf("%s of %d bytes: %v", f, len(body), err)
	}
}

// Damaged binary bodies are errors and neither panics nor claims on memory.
// Every truncation of a Parquet file is an error; a changed byte may also
// leave a body that can be read.
func TestDamagedBinaryBodies(t *testing.T) {
	pq, pqSchema := parquetOf(t, 50), schema(t, "a BIGINT", "b VARCHAR")
	ar, arSchema := stream(t, arrow.ListOf(arrow.BinaryTypes.String), `[["a","bc"],null,["def"]]`), schema(t, "v VARCHAR[]")
	for n := range pq {
		damage(t, rows.Parquet, pq[:n], pqSchema, true)
	}
	for n := range ar {
		damage(t, rows.ArrowStream, ar[:n], arSchema, false)
	}
	for i := range pq {
		bad := bytes.Clone(pq)
		bad[i] ^= 1 << (i % 8)
		damage(t, rows.Parquet, bad, pqSchema, false)
	}
	for i := range ar {
		for _, x := range []byte{1, 0x80, 0xff} {
			bad := bytes.Clone(ar)
			bad[i] ^= x
			damage(t, rows.ArrowStream, bad, arSchema, false)
		}
	}
}

// The same for nested columns, which the library reads in other ways.
func TestDamagedNestedParquet(t *testing.T) {
	s := schema(t, "a STRUCT(x VARCHAR[], y BIGINT, z STRUCT(q DOUBLE, r DECIMAL(10,2)))", "m MAP(VARCHAR, BIGINT)", "u UUID")
	var body bytes.Buffer
	for i := range 100 {
		fmt.Fprintf(&body, `{"a":{"x":["v%d","w"],"y":%d,"z":{"q":%d.5,"r":%d}},"m":[["k%d",%d]],"u":"00000000-0000-0000-0000-0000000000%02d"}`+"\n", i, i, i, i, i, i, i%100)
	}
	recs, err := batches(t, rows.NDJSON, &body, rows.DecodeOptions{Schema: s})
	if err != nil {
		t.Fatal(err)
	}
	defer release(recs)
	var buf bytes.Buffer
	w, err := pqarrow.NewFileWriter(s.Arrow(), &buf, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err == nil {
		err = w.Write(recs[0])
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	damage(t, rows.Parquet, buf.Bytes()[:buf.Len()-1], s, true)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	footer := buf.Len() / 2 // half of the changes hit the second half, which holds the footer
	for i := range 300 {
		bad := bytes.Clone(buf.Bytes())
		for range 1 + rng.IntN(3) {
			at := rng.IntN(len(bad))
			if i%2 == 0 {
				at = footer + rng.IntN(len(bad)-footer)
			}
			bad[at] = byte(rng.Uint32())
		}
		damage(t, rows.Parquet, bad, s, false)
	}
}
