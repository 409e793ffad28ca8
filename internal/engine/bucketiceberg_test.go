package engine_test

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/store/s3test"
)

// readBucket prints the rows of a table in a bucket, by the metadata file's URI.
const readBucket = `
import sys
from pyiceberg.table import StaticTable
uri, endpoint, key, secret = sys.argv[1:]
table = StaticTable.from_metadata(uri, {"s3.endpoint": endpoint, "s3.access-key-id": key, "s3.secret-access-key": secret, "s3.region": "us-east-1"})
for row in sorted(table.scan().to_arrow().to_pylist(), key=lambda r: r["id"]):
    print(row["id"], row["name"])
`

// TestPyIcebergReadsABucket: other engines find a table's files by the URIs that its
// metadata have. It runs where $TARN_TEST_PYTHON, or python3, has pyiceberg.
func TestPyIcebergReadsABucket(t *testing.T) {
	python := cmp.Or(os.Getenv("TARN_TEST_PYTHON"), "python3")
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import pyiceberg, pyarrow").CombinedOutput(); err != nil {
		t.Skipf("%s has no pyiceberg with pyarrow: %v: %s", python, err, out)
	}
	s := s3test.Start(t)
	bucket := s.NewBucket(t)
	o := openLake(t, "", onBucket(s.URL, bucket, t.TempDir()))
	o.create("people", schema(t, []string{"id"}, "id BIGINT", "name VARCHAR"))
	o.change("people", engine.OpUpsert, `{"id":1,"name":"Ann"}`, `{"id":2,"name":"Bob"}`)
	o.compact("people")
	o.change("people", engine.OpUpsert, `{"id":2,"name":"Bo"}`, `{"id":3,"name":"Cid"}`)
	o.compact("people")
	o.close()
	root := filepath.Join(s.Dir, bucket)
	var metadata []string
	for _, f := range filesUnder(t, root) {
		if strings.HasSuffix(f, ".metadata.json") {
			metadata = append(metadata, f)
		}
	}
	slices.Sort(metadata)
	uri := "s3://" + bucket + "/" + metadata[len(metadata)-1]
	out, err := exec.CommandContext(t.Context(), python, "-c", readBucket, uri, s.URL, s3test.AccessKey, s3test.SecretKey).CombinedOutput()
	if err != nil || string(out) != "1 Ann\n2 Bo\n3 Cid\n" {
		t.Errorf("%s: %v: %s", uri, err, out)
	}
}
