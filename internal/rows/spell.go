package rows

import (
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// plain says which bytes a JSON string holds as they are.
func plain(c byte) bool { return c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf }

// quoteTail makes dst[start:] a JSON string.
func quoteTail(dst []byte, start int) []byte {
	ok := true
	for _, c := range dst[start:] {
		if !plain(c) {
			ok = false
			break
		}
	}
	if ok || utf8.Valid(dst[start:]) && !needsEscape(dst[start:]) {
		dst = append(dst, 0, '"')
		copy(dst[start+1:], dst[start:len(dst)-2])
		dst[start] = '"'
		return dst
	}
	text := string(dst[start:])
	return appendString(dst[:start], text)
}

func needsEscape(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c == '"' || c == '\\' {
			return true
		}
	}
	return false
}

// appendString appends s as a JSON string; bytes that are not UTF-8 become
// U+FFFD.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain(c) {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, s[from:i]...)
				dst = append(dst, "\uFFFD"...)
				from = i + 1
			}
			i += n
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// appendFloat appends the shortest text that reads back as v.
func appendFloat(dst []byte, v float64, bitSize int) []byte {
	switch {
	case v != v:
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, v, format, -1, bitSize)
}

// appendDecimal appends v*10^-scale with all its fraction digits.
func appendDecimal(dst []byte, v decimal128.Num, scale int) []byte {
	neg := v.Sign() < 0
	if neg {
		v = v.Negate() // the least value negates to itself, which is right unsigned
		dst = append(dst, '-')
	}
	hi, lo := uint64(v.HighBits()), v.LowBits()
	var buf [44]byte
	i := len(buf)
	digits := 0
	for hi != 0 || lo != 0 || digits <= scale {
		if digits == scale && scale > 0 {
			i--
			buf[i] = '.'
		}
		var rest uint64
		if hi != 0 {
			var q uint64
			q, rest = hi/10, hi%10
			lo, rest = bits.Div64(rest, lo, 10)
			hi = q
		} else {
			lo, rest = lo/10, lo%10
		}
		i--
		buf[i] = byte('0' + rest)
		digits++
	}
	return append(dst, buf[i:]...)
}

// appendPadded appends v with at least width digits.
func appendPadded(dst []byte, v int64, width int) []byte {
	for limit, n := int64(10), 1; n < width; limit, n = limit*10, n+1 {
		if v < limit {
			dst = append(dst, '0')
		}
	}
	return strconv.AppendInt(dst, v, 10)
}

// appendDate appends days since 1970-01-01 as an ISO date. Years of other than
// four digits carry a sign (ISO 8601 expanded; year 0 is 1 BC).
func appendDate(dst []byte, days int64) []byte {
	switch days {
	case dateInfinity:
		return append(dst, "infinity"...)
	case dateNegInfinity:
		return append(dst, "-infinity"...)
	}
	return appendDay(dst, days)
}

func appendDay(dst []byte, days int64) []byte {
	year, month, day := dateOf(days)
	switch {
	case year < 0:
		dst = append(dst, '-')
		year = -year
	case year > 9999:
		dst = append(dst, '+')
	}
	dst = appendPadded(dst, year, 4)
	dst = append(dst, '-', byte('0'+month/10), byte('0'+month%10), '-', byte('0'+day/10), byte('0'+day%10))
	return dst
}

// appendClock appends a time of day in units of 1/per second. A fraction is
// written where it is not zero: 6 digits, or 9 where µs do not hold it.
func appendClock(dst []byte, v, per int64) []byte {
	s, frac := v/per, v%per
	dst = appendPadded(dst, s/3600, 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, s/60%60, 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, s%60, 2)
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.')
	nanos := frac * (1_000_000_000 / per)
	if nanos%1000 == 0 {
		return appendPadded(dst, nanos/1000, 6)
	}
	return appendPadded(dst, nanos, 9)
}

// appendTimestamp appends a timestamp in units of 1/per second since
// 1970-01-01, with Z where it has a zone.
func appendTimestamp(dst []byte, v, per int64, zone bool) []byte {
	switch v {
	case timeInfinity:
		return append(dst, "infinity"...)
	case timeNegInfinity:
		return append(dst, "-infinity"...)
	}
	perDay := 86400 * per
	days := floorDiv(v, perDay)
	dst = appendDay(dst, days)
	dst = append(dst, 'T')
	dst = appendClock(dst, v-days*perDay, per)
	if zone {
		dst = append(dst, 'Z')
	}
	return dst
}

// appendInterval appends an interval as DuckDB prints it: "1 year 2 months
// 3 days 04:05:06.5".
func appendInterval(dst []byte, months, days, nanos int64) []byte {
	start := len(dst)
	part := func(v int64, name string) {
		if v == 0 {
			return
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = strconv.AppendInt(dst, v, 10)
		dst = append(dst, ' ')
		dst = append(dst, name...)
		if v != 1 && v != -1 {
			dst = append(dst, 's')
		}
	}
	part(months/12, "year")
	part(months%12, "month")
	part(days, "day")
	if nanos == 0 && len(dst) > start {
		return dst
	}
	if len(dst) > start {
		dst = append(dst, ' ')
	}
	if nanos < 0 {
		dst = append(dst, '-')
		nanos = -nanos
	}
	dst = appendClock(dst, nanos, 1_000_000_000)
	if nanos%1_000_000_000 != 0 { // DuckDB drops zeros at the end
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}
