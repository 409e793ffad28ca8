package delta

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	root      = "deltas/"
	extension = ".parquet"
	digits    = 20
)

// Prefix is the start of the keys of a dataset's deltas.
func Prefix(tableUUID string) string { return root + tableUUID + "/" }

// Key is where a delta lies.
func Key(tableUUID string, sequence int64) string {
	return fmt.Sprintf("%s%0*d%s", Prefix(tableUUID), digits, sequence, extension)
}

// ParseKey takes a delta's key apart; ok is false for what is no delta's key.
func ParseKey(key string) (tableUUID string, sequence int64, ok bool) {
	rest, below := strings.CutPrefix(key, root)
	tableUUID, name, cut := strings.Cut(rest, "/")
	text, parquet := strings.CutSuffix(name, extension)
	if !below || !cut || !parquet || tableUUID == "" || len(text) != digits {
		return "", 0, false
	}
	sequence, err := strconv.ParseInt(text, 10, 64)
	return tableUUID, sequence, err == nil && sequence > 0
}
