package format

import (
	"bytes"
	"encoding/hex"
	"io"

	"github.com/zeebo/xxh3"

	"tarn/internal/lake"
)

const sumDigits = 32

// noSum stands in a file's place for the sum while the sum is taken.
const noSum = "00000000000000000000000000000000"

func sumText(h xxh3.Uint128) string {
	b := h.Bytes()
	return hex.EncodeToString(b[:])
}

// patchSum takes the sum of file, whose digits at pos are noSum, and writes it
// there.
func patchSum(file []byte, pos int) string {
	sum := sumText(xxh3.Hash128(file))
	copy(file[pos:], sum)
	return sum
}

// sumOf is the sum of a whole file whose digits stand at pos, read as a stream.
func sumOf(r io.ReaderAt, size, pos int64) (string, error) {
	h := xxh3.New128()
	buf := make([]byte, min(size, 256<<10))
	if _, err := io.CopyBuffer(h, onlyReader{io.NewSectionReader(r, 0, pos)}, buf); err != nil {
		return "", err
	}
	if _, err := h.WriteString(noSum); err != nil {
		return "", err
	}
	rest := io.NewSectionReader(r, pos+sumDigits, size-pos-sumDigits)
	if _, err := io.CopyBuffer(h, onlyReader{rest}, buf); err != nil {
		return "", err
	}
	return sumText(h.Sum128()), nil
}

// onlyReader hides WriterTo, which would bring a buffer of its own.
type onlyReader struct{ io.Reader }

// checkSum verifies a file in memory whose digits stand at pos.
func checkSum(file []byte, pos int) (string, bool) {
	h := xxh3.New128()
	_, _ = h.Write(file[:pos])
	_, _ = h.WriteString(noSum)
	_, _ = h.Write(file[pos+sumDigits:])
	sum := sumText(h.Sum128())
	return sum, bytes.Equal(file[pos:pos+sumDigits], []byte(sum))
}

func damaged(key, format string, args ...any) error {
	e := lake.Errorf(lake.CodeDamaged, format, args...)
	e.Step = key
	return e.WithHint("restore %s from a backup or a copy of the lake; nothing was read from it", key)
}

// unknown names the first feature that this build does not know.
func unknown(key string, version, newest int, features []string, known map[string]bool) error {
	if version < 1 || version > newest {
		e := lake.Errorf(lake.CodeUnsupported, "format version %d; this build reads up to %d", version, newest)
		e.Step = key
		return e.WithHint("open the lake with the tarn that wrote it, or a newer one")
	}
	for _, f := range features {
		if !known[f] {
			e := lake.Errorf(lake.CodeUnsupported, "the file uses the feature %q, which this build does not know", f)
			e.Step = key
			return e.WithHint("open the lake with the tarn that wrote it, or a newer one")
		}
	}
	return nil
}
