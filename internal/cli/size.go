package cli

import (
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize"
)

// size is a number of bytes written as people do: 16GB, 512MiB, 1048576.
type size int64

// UnmarshalText reads a size. Units are decimal (GB) or binary (GiB).
func (s *size) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(strings.TrimSpace(string(text)))
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%q is not a size; write it like 16GB, 512MiB or 1048576", text)
	}
	*s = size(n)
	return nil
}

// String gives the shortest spelling that reads back as the same number of
// bytes.
func (s size) String() string {
	units := []struct {
		bytes int64
		name  string
	}{
		{1 << 40, "TiB"}, {1e12, "TB"}, {1 << 30, "GiB"}, {1e9, "GB"}, {1 << 20, "MiB"}, {1e6, "MB"}, {1 << 10, "KiB"}, {1e3, "kB"},
	}
	for _, u := range units {
		if n := int64(s); n != 0 && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return fmt.Sprint(int64(s))
}

// bytesShown is a number of bytes for people to read, rounded: 17 MB.
func bytesShown(n int64) string { return humanize.Bytes(uint64(max(0, n))) }

// count is a number with its thousands apart: 2,467,000.
func count(n int64) string { return humanize.Comma(n) }
