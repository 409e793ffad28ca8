package rows

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// number is a decimal number taken apart: (-1)^neg * coef * 10^exp. coef has
// at most 38 digits and does not end in 0 unless it is 0.
type number struct {
	neg    bool
	hi, lo uint64 // coef
	digits int    // of coef
	exp    int
}

type numberFault int

const (
	numberOK     numberFault = iota
	numberSyntax             // not a number
	numberLong               // more than 38 significant digits
)

// maxExp bounds exponents; what is beyond it fits nothing but zero.
const maxExp = 1 << 20

// parseNumber reads [+-]digits[.digits][e[+-]digits] exactly.
func parseNumber(s []byte) (n number, fault numberFault) {
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		n.neg = s[i] == '-'
		i++
	}
	seen, point := false, false
	zeros := 0 // not yet multiplied into coef
	for ; i < len(s); i++ {
		c := s[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c-'0' > 9 {
			break
		}
		seen = true
		if point {
			n.exp--
		}
		if c == '0' {
			if n.digits > 0 {
				zeros++
			}
			continue
		}
		if n.digits += 1 + zeros; n.digits > 38 {
			fault = numberLong
			n.digits, zeros = 39, 0
			continue
		}
		for range zeros + 1 {
			n.times10()
		}
		zeros = 0
		var carry uint64
		n.lo, carry = bits.Add64(n.lo, uint64(c-'0'), 0)
		n.hi += carry
	}
	if !seen {
		return n, numberSyntax
	}
	n.exp += zeros
	if i < len(s) {
		exp, ok := parseExponent(s[i:])
		if !ok {
			return n, numberSyntax
		}
		n.exp += exp
	}
	if n.digits == 0 {
		n.exp, n.neg = 0, false
	}
	return n, fault
}

func parseExponent(s []byte) (exp int, ok bool) {
	if s[0]|0x20 != 'e' {
		return 0, false
	}
	s = s[1:]
	neg := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		neg = s[0] == '-'
		s = s[1:]
	}
	for _, c := range s {
		if c-'0' > 9 {
			return 0, false
		}
		if exp < maxExp {
			exp = exp*10 + int(c-'0')
		}
	}
	if neg {
		exp = -exp
	}
	return exp, len(s) > 0
}

func (n *number) times10() {
	hi, lo := bits.Mul64(n.lo, 10)
	n.hi = n.hi*10 + hi
	n.lo = lo
}

// scaled gives the number as an integer of 10^-scale units with at most
// precision digits.
func (n number) scaled(precision, scale int) (decimal128.Num, error) {
	if n.digits == 0 {
		return decimal128.Num{}, nil
	}
	shift := n.exp + scale
	switch {
	case n.digits+shift > precision:
		return decimal128.Num{}, errTooBig
	case shift < 0:
		return decimal128.Num{}, errTooFine
	}
	for range shift {
		n.times10()
	}
	v := decimal128.New(int64(n.hi), n.lo)
	if n.neg {
		v = v.Negate()
	}
	return v, nil
}

// The ways a number cannot be of a type; asReason puts the type in.
const (
	errTooBig  = reason("is out of range for ")
	errTooFine = reason("has more fraction digits than ")
	errNaN     = reason("is not a number of type ")
)

// parseDecimal reads a decimal exactly.
func parseDecimal(s []byte, precision, scale int) (decimal128.Num, error) {
	n, fault := parseNumber(s)
	switch fault {
	case numberSyntax:
		return decimal128.Num{}, errNaN
	case numberLong:
		if n.exp+scale < 0 && n.digits+n.exp <= precision-scale {
			return decimal128.Num{}, errTooFine
		}
		return decimal128.Num{}, errTooBig
	}
	return n.scaled(precision, scale)
}

// parseInteger reads an integer between lo and hi; 1.0 and 1e3 are integers.
func parseInteger(s []byte, lo, hi int64) (int64, error) {
	if v, ok := plainInteger(s); ok {
		if v < lo || v > hi {
			return 0, errTooBig
		}
		return v, nil
	}
	d, err := parseDecimal(s, 38, 0)
	if err != nil {
		return 0, err
	}
	v := int64(d.LowBits())
	if d.HighBits() != v>>63 || v < lo || v > hi {
		return 0, errTooBig
	}
	return v, nil
}

// plainInteger is the quick way for up to 18 digits.
func plainInteger(s []byte) (v int64, ok bool) {
	neg := len(s) > 0 && s[0] == '-'
	if neg {
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	for _, c := range s {
		if c-'0' > 9 {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	if neg {
		v = -v
	}
	return v, true
}

// parseFloat reads a number as the nearest float of the size; beyond the
// largest one is out of range.
func parseFloat(s []byte, bitSize int) (float64, error) {
	for _, c := range s {
		if c-'0' > 9 && c != '-' && c != '+' && c != '.' && c|0x20 != 'e' {
			return 0, errNaN // strconv would take hex and underscores too
		}
	}
	v, err := strconv.ParseFloat(view(s), bitSize)
	switch {
	case err == nil:
		return v, nil
	case math.IsInf(v, 0):
		return 0, errTooBig
	}
	return 0, errNaN
}

// namedFloat reads NaN, Infinity and -Infinity, in any case.
func namedFloat(s []byte) (float64, bool) {
	if len(s) < 3 || len(s) > 9 {
		return 0, false
	}
	switch strings.ToLower(string(s)) {
	case "nan":
		return math.NaN(), true
	case "infinity", "+infinity", "inf", "+inf":
		return math.Inf(1), true
	case "-infinity", "-inf":
		return math.Inf(-1), true
	}
	return 0, false
}

// view is a string over bytes without a copy, for calls that keep nothing.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
