package base

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/apache/iceberg-go/table/dv"
)

// The library trusts the bytes of a deletion vector: it makes room for as many bitmaps as
// they say that there are, and panics at some bitmaps, or goes through rows that it did not
// count. Others wrote them; so each is decoded by decodeVector or checked as it does.

// A deletion vector's blob begins with its length, a magic number, and the count of its
// bitmaps, of which none is shorter than a key and an empty bitmap.
const (
	vectorHead  = 4 + 4 + 8
	leastBitmap = 4 + 8
)

// decodeVector decodes a blob of so many rows; any number where rows is negative.
func decodeVector(blob []byte, rows int64) (*dv.RoaringPositionBitmap, error) {
	if len(blob) >= vectorHead {
		if err := checkBitmaps(blob[:vectorHead], int64(len(blob))); err != nil {
			return nil, err
		}
	}
	return soundVector(func() (*dv.RoaringPositionBitmap, error) { return dv.DeserializeDV(blob, rows) })
}

// checkBitmapsAt is checkBitmaps of a blob in a file.
func checkBitmapsAt(f io.ReaderAt, offset, size int64) error {
	head := make([]byte, vectorHead)
	if _, err := f.ReadAt(head, offset); err != nil {
		return fmt.Errorf("read its beginning: %w", err)
	}
	return checkBitmaps(head, size)
}

// checkBitmaps fails where a blob of so many bytes cannot have the bitmaps of which its
// head tells.
func checkBitmaps(head []byte, size int64) error {
	if n := binary.LittleEndian.Uint64(head[vectorHead-8:]); n > uint64(max(size, 0))/leastBitmap {
		return fmt.Errorf("%d bytes cannot hold the %d bitmaps that they say", size, n)
	}
	return nil
}

// soundVector gives what is decoded if its rows ascend and are as many as it counts.
func soundVector(decode func() (*dv.RoaringPositionBitmap, error)) (vector *dv.RoaringPositionBitmap, err error) {
	defer func() {
		if r := recover(); r != nil {
			vector, err = nil, fmt.Errorf("its bitmaps are broken: %v", r)
		}
	}()
	if vector, err = decode(); err != nil {
		return nil, err
	}
	counted, n, last := vector.Cardinality(), int64(0), int64(-1)
	for pos := range vector.Positions() {
		if n++; n > counted || int64(pos) <= last {
			return nil, fmt.Errorf("its bitmaps are broken: row %d follows row %d, as one of %d", pos, last, counted)
		}
		last = int64(pos)
	}
	if n != counted {
		return nil, fmt.Errorf("its bitmaps are broken: they count %d rows and have %d", counted, n)
	}
	return vector, nil
}
