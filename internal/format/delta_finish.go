package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tarn/internal/lake"
)

// FinishDelta makes a delta of the Parquet file at path, which a job wrote: the
// columns of ChangesSchema(s) with their field ids, and OpColumn as an INTEGER
// (32 bits, signed) with OpFieldID. Columns may be optional where the delta's
// are required; the job vouches for keys without nulls. Only the footer is
// written anew, in place: its key-value entries are replaced by the header with
// h.Rows set to the file's rows, and the sum is patched. The file is not synced.
//
// It fails with CodeInternal, and leaves the file as it was, if the columns do
// not fit.
func FinishDelta(path string, h DeltaHeader, s lake.Schema) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fileError("finish delta", err)
	}
	if err := finish(f, h, s); err != nil {
		return errors.Join(err, f.Close())
	}
	return fileError("finish delta", f.Close())
}

func finish(f *os.File, h DeltaHeader, s lake.Schema) error {
	info, err := f.Stat()
	if err != nil {
		return fileError("finish delta", err)
	}
	footer, err := readFooter("finish delta", f, info.Size())
	if err != nil {
		return err
	}
	meta, err := metadata.NewFileMetaData(footer, nil)
	if err != nil {
		return lake.Errorf(lake.CodeInternal, "finish delta: footer: %w", err)
	}
	if err := checkColumns(meta, s); err != nil {
		return err
	}
	h.Rows = meta.NumRows
	text, err := encodeHeader(h)
	if err != nil {
		return err
	}
	kv := metadata.NewKeyValueMetadata()
	if err := kv.Append(headerKey, text); err != nil {
		return lake.Errorf(lake.CodeInternal, "finish delta: header: %w", err)
	}
	meta.FileMetaData.KeyValueMetadata = kv
	var out bytes.Buffer
	n, err := meta.WriteTo(&out, nil)
	if err != nil {
		return lake.Errorf(lake.CodeInternal, "finish delta: footer: %w", err)
	}
	if n > maxFooterBytes {
		return lake.Errorf(lake.CodeInternal, "finish delta: a footer of %d bytes", n)
	}
	at := sumAt(out.Bytes())
	var tail [8]byte
	binary.LittleEndian.PutUint32(tail[:4], uint32(n))
	copy(tail[4:], parquetMagic)
	out.Write(tail[:])

	start := info.Size() - 8 - int64(len(footer))
	if _, err := f.WriteAt(out.Bytes(), start); err != nil {
		return fileError("finish delta", err)
	}
	size := start + int64(out.Len())
	if err := f.Truncate(size); err != nil {
		return fileError("finish delta", err)
	}
	sum, err := sumOf(f, size, start+int64(at))
	if err != nil {
		return fileError("finish delta", err)
	}
	_, err = f.WriteAt([]byte(sum), start+int64(at))
	return fileError("finish delta", err)
}

// checkColumns says whether a file holds what a delta of the schema must.
func checkColumns(meta *metadata.FileMetaData, s lake.Schema) error {
	have, err := pqarrow.FromParquet(meta.Schema, &pqarrow.ArrowReadProperties{}, nil)
	if err != nil {
		return lake.Errorf(lake.CodeInternal, "finish delta: %w", err)
	}
	if have.NumFields() != len(s.Columns)+1 {
		return lake.Errorf(lake.CodeInternal, "finish delta: %d columns where %d and %s are expected", have.NumFields(), len(s.Columns), OpColumn)
	}
	byID := map[int]arrow.Field{}
	for _, f := range have.Fields() {
		byID[fieldID(f)] = f
	}
	for _, c := range s.Columns {
		f, ok := byID[c.ID]
		if !ok {
			return lake.Errorf(lake.CodeInternal, "finish delta: no column with the field id %d (%q)", c.ID, c.Name)
		}
		if !strings.EqualFold(f.Name, c.Name) {
			return lake.Errorf(lake.CodeInternal, "finish delta: field id %d is %q, not %q", c.ID, f.Name, c.Name)
		}
		if err := fits(f.Type, c.Type.Arrow()); err != nil {
			return lake.Errorf(lake.CodeInternal, "finish delta: column %q: %w", c.Name, err)
		}
	}
	op, ok := byID[OpFieldID]
	if !ok || op.Name != OpColumn || op.Type.ID() != arrow.INT32 {
		return lake.Errorf(lake.CodeInternal, "finish delta: no column %s of INTEGER with the field id %d", OpColumn, OpFieldID)
	}
	return nil
}

func fileError(step string, err error) error {
	if err == nil {
		return nil
	}
	code := lake.CodeUnavailable
	if errors.Is(err, fs.ErrNotExist) {
		code = lake.CodeNotFound
	}
	return lake.Errorf(code, "%s: %w", step, err)
}
