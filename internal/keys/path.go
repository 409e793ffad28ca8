package keys

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"tarn/internal/lake"
)

// ParsePath reads a key as it stands in a URL's path, still escaped: the values
// of the key columns in key order, split at commas, then each percent-decoded. A
// blob is base64, as in JSON; dates and times are ISO.
//
// It gives a text for each column that SQL's CAST(text AS type) turns into the
// value. What does not parse is lake.CodeInvalidRequest naming the column.
func ParsePath(key lake.Schema, s string) ([]string, error) {
	parts := strings.Split(s, ",")
	if len(parts) != len(key.Columns) {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "the key %q has %d values; the primary key has %d: %s",
			s, len(parts), len(key.Columns), strings.Join(names(key), ", ")).
			WithHint("separate the values by commas; write a comma within a value as %%2C")
	}
	out := make([]string, len(parts))
	for i, part := range parts {
		c := key.Columns[i]
		text, err := url.PathUnescape(part)
		if err == nil {
			out[i], err = castable(c.Type, text)
		}
		if err != nil {
			return nil, lake.Errorf(lake.CodeInvalidRequest, "the key's value %q does not fit column %q of type %s: %w",
				part, c.Name, c.Type, err)
		}
	}
	return out, nil
}

func names(key lake.Schema) []string {
	var out []string
	for _, c := range key.Columns {
		out = append(out, c.Name)
	}
	return out
}

func castable(t lake.Type, text string) (string, error) {
	switch t.Kind {
	case lake.Boolean:
		return boolText(text)
	case lake.Integer:
		return intText(text, 32)
	case lake.Bigint:
		return intText(text, 64)
	case lake.Decimal:
		return decimalText(text, t.Precision, t.Scale)
	case lake.Varchar:
		if !utf8.ValidString(text) {
			return "", fmt.Errorf("it is not UTF-8")
		}
		return text, nil
	case lake.Blob:
		return blobText(text)
	case lake.UUID:
		return uuidText(text)
	case lake.Date:
		return dateText(text)
	case lake.Time:
		return timeText(text)
	case lake.Timestamp:
		return timestampText(text, false)
	case lake.TimestampTZ:
		return timestampText(text, true)
	}
	return "", fmt.Errorf("such a column cannot be a key")
}

func boolText(text string) (string, error) {
	switch strings.ToLower(text) {
	case "true", "t", "1":
		return "true", nil
	case "false", "f", "0":
		return "false", nil
	}
	return "", fmt.Errorf("it is neither true nor false")
}

func intText(text string, bits int) (string, error) {
	v, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		return "", fmt.Errorf("it is no whole number of %d bits", bits)
	}
	return strconv.FormatInt(v, 10), nil
}

// decimalForm has the sign, the digits before the point and those after it.
var decimalForm = regexp.MustCompile(`^([+-]?)([0-9]*)(?:\.([0-9]*))?$`)

// decimalText refuses what SQL's cast would round.
func decimalText(text string, precision, scale int) (string, error) {
	m := decimalForm.FindStringSubmatch(text)
	if m == nil || m[2]+m[3] == "" {
		return "", fmt.Errorf("it is no decimal number")
	}
	fraction := strings.TrimRight(m[3], "0")
	if len(fraction) > scale {
		return "", fmt.Errorf("it has more than %d digits after the point", scale)
	}
	whole := strings.TrimLeft(m[2], "0")
	if len(whole) > precision-scale {
		return "", fmt.Errorf("it has more than %d digits before the point", precision-scale)
	}
	if whole == "" {
		whole = "0"
	}
	unscaled, _ := new(big.Int).SetString(whole+fraction, 10)
	if m[1] == "-" && unscaled.Sign() != 0 {
		whole = "-" + whole
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return whole, nil
}

// blobText gives DuckDB's spelling of bytes: \x00\xFF.
func blobText(text string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("it is not base64")
	}
	var out strings.Builder
	for _, c := range b {
		fmt.Fprintf(&out, `\x%02X`, c)
	}
	return out.String(), nil
}

func uuidText(text string) (string, error) {
	v, err := uuid.Parse(text)
	if err != nil {
		return "", fmt.Errorf("it is no uuid")
	}
	return v.String(), nil
}

var (
	dateForm  = regexp.MustCompile(`^([0-9]{4,7})-([0-9]{2})-([0-9]{2})( \(BC\))?$`)
	clockForm = regexp.MustCompile(`^([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?$`)
	// stampForm has date, BC, clock and offset. DuckDB puts (BC) after the date,
	// and before the clock.
	stampForm  = regexp.MustCompile(`^([0-9]{4,7}-[0-9]{2}-[0-9]{2}(?: \(BC\))?)(?:[T ]([0-9:.]+))? ?(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?$`)
	offsetForm = regexp.MustCompile(`^([+-])([0-9]{2}):?([0-9]{2})?$`)
)

func infinite(text string) bool {
	return text == "infinity" || text == "-infinity"
}

// The last and first whole years that DuckDB's types hold; of dates, and of
// timestamps.
const (
	lastDateYear, firstDateYear   = 5881579, -5877640
	lastStampYear, firstStampYear = 294246, -290307
)

func dateText(text string) (string, error) {
	if infinite(text) {
		return text, nil
	}
	return dayText(text, firstDateYear, lastDateYear)
}

// dayText takes a day of the years first to last, where 0 is 1 BC.
func dayText(text string, first, last int) (string, error) {
	m := dateForm.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("it is no date such as 2024-01-31")
	}
	year, _ := strconv.Atoi(m[1])
	month, _ := strconv.Atoi(m[2])
	day, _ := strconv.Atoi(m[3])
	astronomical := year
	if m[4] != "" {
		astronomical = 1 - year // 1 BC is the year 0
	}
	d := time.Date(astronomical, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if year == 0 || d.Year() != astronomical || int(d.Month()) != month || d.Day() != day {
		return "", fmt.Errorf("there is no such day")
	}
	if astronomical < first || astronomical > last {
		return "", fmt.Errorf("it is out of range")
	}
	return text, nil
}

func timeText(text string) (string, error) {
	m := clockForm.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("it is no time such as 23:59:59.5")
	}
	hour, _ := strconv.Atoi(m[1])
	minute, _ := strconv.Atoi(m[2])
	second, _ := strconv.Atoi(m[3])
	if hour > 23 || minute > 59 || second > 59 {
		return "", fmt.Errorf("there is no such time of day")
	}
	fraction := strings.TrimRight(m[4], "0")
	if len(fraction) > 6 {
		return "", fmt.Errorf("it is finer than a microsecond")
	}
	out := fmt.Sprintf("%02d:%02d:%02d", hour, minute, second)
	if fraction != "" {
		out += "." + fraction
	}
	return out, nil
}

// timestampText takes a date, a date and time, and, for a timestamp with time
// zone, an offset; without one the time is UTC.
func timestampText(text string, zoned bool) (string, error) {
	if infinite(text) {
		return text, nil
	}
	m := stampForm.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("it is no timestamp such as 2024-01-31T23:59:59.5")
	}
	date, err := dayText(m[1], firstStampYear, lastStampYear)
	if err != nil {
		return "", err
	}
	clock := "00:00:00"
	if m[2] != "" {
		if clock, err = timeText(m[2]); err != nil {
			return "", err
		}
	}
	if !zoned {
		if m[3] != "" {
			return "", fmt.Errorf("the column has no time zone")
		}
		return date + " " + clock, nil
	}
	offset := "+00:00"
	if o := offsetForm.FindStringSubmatch(m[3]); o != nil {
		minutes := o[3]
		if minutes == "" {
			minutes = "00"
		}
		if o[2] > "15" || minutes > "59" {
			return "", fmt.Errorf("there is no such offset")
		}
		offset = o[1] + o[2] + ":" + minutes
	}
	return date + " " + clock + offset, nil
}
