package job

import (
	"bufio"
	"errors"
	"io"

	"tarn/internal/rows"
)

// delimiters are those that a CSV file may have, in the order of preference.
const delimiters = ",;\t|"

// headerBytes is how much of a file is looked at for its header.
const headerBytes = 64 << 10

// delimiterOf is the delimiter that the header of a CSV file has most of, outside
// quotes. Nothing else of a file's dialect is guessed at: a quote that is taken
// for one where it is none is text lost.
func delimiterOf(f InputFile) (byte, error) {
	if f.Format != rows.CSV {
		return 0, nil
	}
	b, err := unpack(f, nil)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	r := bufio.NewReader(io.LimitReader(b, headerBytes))
	count, quoted := map[byte]int{}, false
	for {
		c, err := r.ReadByte()
		if errors.Is(err, io.EOF) || err == nil && c == '\n' && !quoted {
			break
		}
		if err != nil {
			break // the decoder says what it is
		}
		if c == '"' {
			quoted = !quoted
		}
		if !quoted {
			count[c]++
		}
	}
	best := byte(delimiters[0])
	for _, d := range []byte(delimiters) {
		if count[d] > count[best] {
			best = d
		}
	}
	return best, nil
}
