package base

import (
	"strings"

	"github.com/apache/iceberg-go"
)

// filePathID is Iceberg's field id of file_path in position delete files.
const filePathID = 2147483546

// Reach says of which data files a position delete file, or a deletion vector, can have
// rows: those that are not younger, and that it names or has within its bounds of file_path.
type Reach struct {
	seq                  int64 // Iceberg's data sequence number
	only, lower, upper   string
	oneFile, above, till bool // which of the three it has
}

// ReachOf reads what a manifest says of a delete file.
func ReachOf(d iceberg.DataFile, sequence int64) Reach {
	r := Reach{seq: sequence}
	if only := d.ReferencedDataFile(); only != nil {
		r.only, r.oneFile = *only, true
		return r
	}
	lower, above := d.LowerBoundValues()[filePathID]
	upper, till := d.UpperBoundValues()[filePathID]
	r.lower, r.above, r.upper, r.till = string(lower), above, string(upper), till
	if above && till && r.lower == r.upper {
		r.only, r.oneFile = r.lower, true
	}
	return r
}

// OneFile gives the location of the one data file that it can have rows of; ok is false
// where it may be several.
func (r Reach) OneFile() (location string, ok bool) { return r.only, r.oneFile }

// Has says whether it can have rows of the data file at a location, with its sequence
// number.
func (r Reach) Has(location string, sequence int64) bool {
	switch {
	case sequence > r.seq:
		return false
	case r.oneFile:
		return location == r.only
	}
	return (!r.above || r.lower <= location) && (!r.till || location <= r.upper)
}

// IsParquet reads a file's format as DuckDB writes it too, in small letters.
func IsParquet(df iceberg.DataFile) bool {
	return strings.EqualFold(string(df.FileFormat()), string(iceberg.ParquetFile))
}

// IsVector says whether a delete file is a deletion vector, as DuckDB spells it too.
func IsVector(df iceberg.DataFile) bool {
	return df.ContentType() == iceberg.EntryContentPosDeletes && strings.EqualFold(string(df.FileFormat()), string(iceberg.PuffinFile))
}
