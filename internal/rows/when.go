package rows

import "math"

// The values that stand for infinity, as DuckDB has them, and the range of the
// others.
const (
	dateInfinity    = math.MaxInt32
	dateNegInfinity = -math.MaxInt32
	timeInfinity    = math.MaxInt64
	timeNegInfinity = -math.MaxInt64

	minDate = -2147483646
	maxDate = 2147483646
	// DuckDB's first timestamp is the first whole day that µs can hold.
	minTimestamp = -9223372022400000000
	maxTimestamp = math.MaxInt64 - 1

	microsPerDay = 86_400_000_000
)

// The ways text cannot be of a type.
const (
	errNoDate      = reason("is not a date like 2024-01-31, as needed for ")
	errNoTime      = reason("is not a time like 12:34:56.789, as needed for ")
	errNoTimestamp = reason("is not a timestamp like 2024-01-31T12:34:56, as needed for ")
	errNanos       = reason("has a fraction finer than microseconds, too fine for ")
	errOffset      = reason("has an offset from UTC, which cannot be kept in ")
)

// daysOf gives the day number (1970-01-01 is 0) of a date of the proleptic
// Gregorian calendar; year 0 is 1 BC. Source: Howard Hinnant, "chrono-compatible
// low-level date algorithms", days_from_civil.
func daysOf(year int64, month, day int) int64 {
	if month <= 2 {
		year--
	}
	era := floorDiv(year, 400)
	yoe := year - era*400
	mp := int64((month + 9) % 12)
	doy := (153*mp+2)/5 + int64(day) - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468
}

// dateOf is the inverse of daysOf (civil_from_days).
func dateOf(days int64) (year int64, month, day int) {
	days += 719468
	era := floorDiv(days, 146097)
	doe := days - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy - (153*mp+2)/5 + 1)
	month = int(mp + 3)
	year = yoe + era*400
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func daysIn(year int64, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// two reads two digits.
func two(s []byte) (v int, rest []byte, ok bool) {
	if len(s) < 2 || s[0]-'0' > 9 || s[1]-'0' > 9 {
		return 0, s, false
	}
	return int(s[0]-'0')*10 + int(s[1]-'0'), s[2:], true
}

// civil reads [+-]YYYY-MM-DD, with four year digits or more, into days.
func civil(s []byte) (days int64, rest []byte, ok bool) {
	neg := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		neg = s[0] == '-'
		s = s[1:]
	}
	var year int64
	n := 0
	for n < len(s) && n < 8 && s[n]-'0' <= 9 {
		year = year*10 + int64(s[n]-'0')
		n++
	}
	if n < 4 || n >= len(s) || s[n] != '-' {
		return 0, s, false
	}
	if neg {
		year = -year
	}
	month, s, ok := two(s[n+1:])
	if !ok || month < 1 || month > 12 || len(s) == 0 || s[0] != '-' {
		return 0, s, false
	}
	day, s, ok := two(s[1:])
	if !ok || day < 1 || day > daysIn(year, month) {
		return 0, s, false
	}
	return daysOf(year, month, day), s, true
}

// clock reads HH:MM[:SS[.fraction]] into µs.
func clock(s []byte) (micros int64, rest []byte, err error) {
	hour, s, ok := two(s)
	if !ok || hour > 23 || len(s) == 0 || s[0] != ':' {
		return 0, s, errNoTime
	}
	minute, s, ok := two(s[1:])
	if !ok || minute > 59 {
		return 0, s, errNoTime
	}
	micros = int64(hour*60+minute) * 60_000_000
	if len(s) == 0 || s[0] != ':' {
		return micros, s, nil
	}
	second, s, ok := two(s[1:])
	if !ok || second > 59 {
		return 0, s, errNoTime
	}
	micros += int64(second) * 1_000_000
	if len(s) == 0 || s[0] != '.' && s[0] != ',' {
		return micros, s, nil
	}
	s = s[1:]
	n, unit := 0, int64(100_000)
	for n < len(s) && s[n]-'0' <= 9 {
		d := int64(s[n] - '0')
		if n >= 6 && d != 0 {
			return 0, s, errNanos
		}
		micros += d * unit
		unit /= 10
		n++
	}
	if n == 0 {
		return 0, s, errNoTime
	}
	return micros, s[n:], nil
}

// offset reads Z or ±HH[[:]MM[[:]SS]] into seconds east of UTC.
func offset(s []byte) (seconds int64, rest []byte, ok bool) {
	if s[0] == 'Z' || s[0] == 'z' {
		return 0, s[1:], true
	}
	if s[0] != '+' && s[0] != '-' {
		return 0, s, false
	}
	neg := s[0] == '-'
	h, s, ok := two(s[1:])
	if !ok || h > 15 {
		return 0, s, false
	}
	seconds = int64(h) * 3600
	for unit := int64(60); unit >= 1 && len(s) > 0; unit /= 60 {
		if s[0] == ':' {
			s = s[1:]
		}
		var v int
		if v, s, ok = two(s); !ok || v > 59 {
			return 0, s, false
		}
		seconds += int64(v) * unit
	}
	if neg {
		seconds = -seconds
	}
	return seconds, s, true
}

// infinite reads infinity (1) and -infinity (-1).
func infinite(s []byte) int {
	if f, ok := namedFloat(s); ok {
		switch {
		case f > 0:
			return 1
		case f < 0:
			return -1
		}
	}
	return 0
}

// parseDate reads a date as days since 1970-01-01.
func parseDate(s []byte) (int32, error) {
	switch infinite(s) {
	case 1:
		return dateInfinity, nil
	case -1:
		return dateNegInfinity, nil
	}
	days, rest, ok := civil(s)
	if !ok || len(rest) > 0 {
		return 0, errNoDate
	}
	if days < minDate || days > maxDate {
		return 0, errTooBig
	}
	return int32(days), nil
}

// parseTime reads a time of day as µs.
func parseTime(s []byte) (int64, error) {
	micros, rest, err := clock(s)
	if err == nil && len(rest) > 0 {
		err = errNoTime
	}
	return micros, err
}

// parseTimestamp reads a timestamp as µs since 1970-01-01. With zone, an
// offset is applied and none means UTC; without, an offset is refused.
func parseTimestamp(s []byte, zone bool) (int64, error) {
	switch infinite(s) {
	case 1:
		return timeInfinity, nil
	case -1:
		return timeNegInfinity, nil
	}
	days, rest, ok := civil(s)
	if !ok {
		return 0, errNoTimestamp
	}
	var micros, seconds int64
	if len(rest) > 0 {
		if rest[0] != 'T' && rest[0] != 't' && rest[0] != ' ' {
			return 0, errNoTimestamp
		}
		var err error
		if micros, rest, err = clock(rest[1:]); err == errNoTime {
			return 0, errNoTimestamp
		} else if err != nil {
			return 0, err
		}
	}
	if len(rest) > 0 {
		if seconds, rest, ok = offset(rest); !ok || len(rest) > 0 {
			return 0, errNoTimestamp
		}
		if !zone {
			return 0, errOffset
		}
	}
	micros -= seconds * 1_000_000
	return timestampOf(days, micros)
}

// timestampOf adds days and µs (of up to a few days), checking the range.
func timestampOf(days, micros int64) (int64, error) {
	days += floorDiv(micros, microsPerDay)
	micros -= floorDiv(micros, microsPerDay) * microsPerDay
	if days < minTimestamp/microsPerDay || days > maxTimestamp/microsPerDay {
		return 0, errTooBig
	}
	v := days * microsPerDay
	if v > maxTimestamp-micros {
		return 0, errTooBig
	}
	return v + micros, nil
}
