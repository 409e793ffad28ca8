package rows

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// field adds a CSV field, which can be what a string can, and true and false in
// any case, and a number.
func (f *Form) field(s []byte) {
	f.kinds |= kindScalar
	if f.fits == 0 {
		return // it is text for good
	}
	if isNumber(s) {
		f.number(s)
		return
	}
	if n := len(s); (n == 4 || n == 5) && (strings.EqualFold(view(s), "true") || strings.EqualFold(view(s), "false")) {
		f.scalar(fitsBool)
		return
	}
	f.text(s)
}

// text adds a JSON string, by what is in it. Only the forms of package rows
// count: what is no date of them may be one of another order of day and month.
func (f *Form) text(s []byte) {
	f.kinds |= kindScalar
	if f.fits == 0 {
		return
	}
	if v, ok := namedFloat(s); ok {
		if v != v {
			f.named(fitsDouble)
		} else {
			f.named(fitsDouble | fitsDate | fitsTimestamp | fitsTimestampTZ)
		}
		return
	}
	f.scalar(textFits(s))
}

// textFits gives the types of a text that is neither a number nor a name.
func textFits(s []byte) fits {
	if len(s) < 5 || s[0] == '+' {
		return 0
	}
	if _, err := parseTime(s); err == nil {
		return fitsTime
	}
	if _, err := parseDate(s); err == nil {
		if _, err := parseTimestamp(s, false); err == nil {
			return fitsDate | fitsTimestamp
		}
		return fitsDate
	}
	if _, err := parseTimestamp(s, false); err == nil {
		return fitsTimestamp
	} else if err == errOffset {
		if _, err := parseTimestamp(s, true); err == nil {
			return fitsTimestampTZ
		}
	}
	if len(s) == 36 && s[8] == '-' {
		if u, err := uuid.ParseBytes(s); err == nil && u.String() == view(s) {
			return fitsUUID
		}
	}
	return 0
}

// isNumber says whether text is a number as JSON writes one, or such a number
// without a digit on one side of its point. What begins with a plus or with
// zeros (+49…, 007) is a text that has lost something when it comes back.
func isNumber(s []byte) bool {
	i := 0
	digits := func() int {
		start := i
		for i < len(s) && s[i]-'0' <= 9 {
			i++
		}
		return i - start
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	first := i
	n := digits()
	if n > 1 && s[first] == '0' {
		return false
	}
	if i < len(s) && s[i] == '.' {
		i++
		n += digits()
	}
	if n == 0 {
		return false
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '-' || s[i] == '+') {
			i++
		}
		if digits() == 0 {
			return false
		}
	}
	return i == len(s)
}

// A double holds every decimal of up to doubleDigits digits whose exponent is not
// near its ends, and no double is told from its neighbours by more than
// doubleDigitsWritten, as many programs write each of theirs.
const (
	doubleDigits        = 15
	doubleDigitsWritten = 17
	doubleExponent      = 290
)

// numberFits gives the types that keep a number as it is, and its digits before
// and after the decimal point.
func numberFits(s []byte) (fit fits, whole, fraction int) {
	if v, ok := plainInteger(s); ok && v > -1e15 && v < 1e15 {
		return fitsBigint | fitsWhole | fitsDouble | fitsDecimal, len(bytes.TrimPrefix(s, []byte{'-'})), 0
	}
	n, fault := parseNumber(s)
	if fault == numberSyntax {
		return 0, 0, 0
	}
	if fault == numberLong {
		return 0, 0, 0 // a double has 17 digits at most
	}
	whole, fraction = max(0, n.digits+n.exp), max(0, -n.exp)
	if whole+fraction <= 38 {
		fit |= fitsDecimal
	}
	if !strings.ContainsAny(view(s), ".eE") && fit != 0 {
		fit |= fitsWhole
		if _, err := parseInteger(s, math.MinInt64, math.MaxInt64); err == nil {
			fit |= fitsBigint
		}
	}
	if n.inDouble(s) {
		fit |= fitsDouble
	}
	return fit, whole, fraction
}

// inDouble says whether the nearest double gives the number back when it is
// written with as many digits.
func (n number) inDouble(s []byte) bool {
	if at := n.digits + n.exp; n.digits <= doubleDigits && at > -doubleExponent && at < doubleExponent {
		return true
	}
	v, err := parseFloat(s, 64)
	if err != nil || n.digits > doubleDigitsWritten {
		return false
	}
	var buf [32]byte
	back, _ := parseNumber(strconv.AppendFloat(buf[:0], v, 'e', n.digits-1, 64))
	return back == n
}
