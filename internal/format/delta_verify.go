package format

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// maxFooterBytes bounds what is read of a file before its sum is known.
const maxFooterBytes = 64 << 20

const parquetMagic = "PAR1"

// ReadDeltaHeader verifies a whole delta as a stream, in bounded memory, and
// gives what its footer says. key names it in errors: CodeDamaged for any byte
// that is not as written, CodeUnsupported for a newer format version or an
// unknown feature.
func ReadDeltaHeader(key string, r io.ReaderAt, size int64) (DeltaHeader, error) {
	h, _, err := verify(key, r, size)
	return h, err
}

// verify is ReadDeltaHeader with the Parquet footer as it stands in the file.
func verify(key string, r io.ReaderAt, size int64) (DeltaHeader, *metadata.FileMetaData, error) {
	footer, err := readFooter(key, r, size)
	if err != nil {
		return DeltaHeader{}, nil, err
	}
	at := sumAt(footer)
	if at < 0 {
		return DeltaHeader{}, nil, damaged(key, "not a delta: its footer holds no sum")
	}
	sum, err := sumOf(r, size, size-8-int64(len(footer))+int64(at))
	if err != nil {
		return DeltaHeader{}, nil, damaged(key, "read: %w", err)
	}
	if written := string(footer[at : at+sumDigits]); written != sum {
		return DeltaHeader{}, nil, damaged(key, "the sum of its bytes is %s, not the one written in it", sum)
	}
	return parseFooter(key, footer)
}

// verifyBytes is verify for a file in memory.
func verifyBytes(key string, file []byte) (DeltaHeader, *metadata.FileMetaData, error) {
	footer, err := readFooter(key, bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return DeltaHeader{}, nil, err
	}
	at := sumAt(footer)
	if at < 0 {
		return DeltaHeader{}, nil, damaged(key, "not a delta: its footer holds no sum")
	}
	if sum, ok := checkSum(file, len(file)-8-len(footer)+at); !ok {
		return DeltaHeader{}, nil, damaged(key, "the sum of its bytes is %s, not the one written in it", sum)
	}
	return parseFooter(key, footer)
}

// sumAt is where the sum's digits stand in a footer, or -1.
func sumAt(footer []byte) int {
	at := bytes.LastIndex(footer, []byte(headerHead))
	if at < 0 || at+len(headerHead)+sumDigits > len(footer) {
		return -1
	}
	return at + len(headerHead)
}

// readFooter gives the bytes of a Parquet file's thrift footer.
func readFooter(key string, r io.ReaderAt, size int64) ([]byte, error) {
	if size < 12 {
		return nil, damaged(key, "%d bytes are no Parquet file", size)
	}
	var tail [8]byte
	if err := readAt(r, tail[:], size-8); err != nil {
		return nil, damaged(key, "read: %w", err)
	}
	length := int64(binary.LittleEndian.Uint32(tail[:4]))
	if string(tail[4:]) != parquetMagic || length > maxFooterBytes || length > size-12 {
		return nil, damaged(key, "it does not end as a Parquet file does")
	}
	footer := make([]byte, length)
	if err := readAt(r, footer, size-8-length); err != nil {
		return nil, damaged(key, "read: %w", err)
	}
	return footer, nil
}

// readAt fills b; an io.EOF beside a full read is none.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	if n, err := r.ReadAt(b, off); n < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

func parseFooter(key string, footer []byte) (DeltaHeader, *metadata.FileMetaData, error) {
	var meta *metadata.FileMetaData
	err := caught(func() (err error) {
		meta, err = metadata.NewFileMetaData(footer, nil)
		return err
	})
	if err != nil {
		return DeltaHeader{}, nil, damaged(key, "footer: %w", err)
	}
	text := meta.KeyValueMetadata().FindValue(headerKey)
	if text == nil {
		return DeltaHeader{}, nil, damaged(key, "not a delta: its footer has no entry %q", headerKey)
	}
	var head struct {
		FormatVersion int      `json:"format_version"`
		Features      []string `json:"features"`
	}
	if err := json.Unmarshal([]byte(*text), &head); err != nil {
		return DeltaHeader{}, nil, damaged(key, "header: %w", err)
	}
	if err := unknown(key, head.FormatVersion, DeltaFormat, head.Features, deltaFeatures); err != nil {
		return DeltaHeader{}, nil, err
	}
	var h DeltaHeader
	if err := json.Unmarshal([]byte(*text), &h); err != nil {
		return DeltaHeader{}, nil, damaged(key, "header: %w", err)
	}
	if h.Rows != meta.NumRows || h.First < 1 || h.First > h.Sequence {
		return DeltaHeader{}, nil, damaged(key, "header says %d rows, sequences %d to %d; the file has %d rows", h.Rows, h.First, h.Sequence, meta.NumRows)
	}
	return h, meta, nil
}
