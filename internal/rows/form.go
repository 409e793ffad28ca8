package rows

import (
	"strings"

	"tarn/internal/lake"
)

// fits is a set of the types that keep a value exactly.
type fits uint16

const (
	fitsBool fits = 1 << iota
	fitsBigint
	fitsWhole  // a whole number of up to 38 digits, written as one
	fitsDouble // which gives the number back: see inDouble
	fitsDecimal
	fitsUUID
	fitsDate
	fitsTime
	fitsTimestamp
	fitsTimestampTZ

	fitsAll = 1<<iota - 1
)

// Form is what the values of a column of text, or of a part of one, have in
// common. It is found by Look, and says which type keeps each of them exactly.
// The zero value is not one: see NewForm.
type Form struct {
	kinds kinds
	fits  fits // every value
	shown fits // at least one value, which is not a name such as NaN

	whole, fraction int // the most digits before and after the decimal point

	elem   *Form     // of arrays
	fields *lookedAt // of objects
	depth  int
}

// kinds is a set of the kinds of JSON that values are.
type kinds uint8

const (
	kindScalar kinds = 1 << iota
	kindArray
	kindObject
	kindDeep // nested too deep to be looked at
)

// maxFormDepth bounds the nesting of types: what is deeper stays text. The time
// that DuckDB 1.5.6 takes to read Parquet doubles with each level of lists that
// are empty (16: 10 ms for a row, 20: 1 s).
const maxFormDepth = 12

// maxFormFields bounds the fields of an object: of one with more, which is rather
// a map, a struct would be all nulls.
const maxFormFields = 1000

// NewForm is the form of no values, for others to join.
func NewForm() *Form { return newForm(1) }

func newForm(depth int) *Form { return &Form{fits: fitsAll, depth: depth} }

// scalar adds a value that the types of fit keep.
func (f *Form) scalar(fit fits) {
	f.kinds |= kindScalar
	f.fits &= fit
	f.shown |= fit
}

// named adds a value that is a name, such as NaN or infinity: it can be of the
// types of fit, and does not make a column one.
func (f *Form) named(fit fits) {
	f.kinds |= kindScalar
	f.fits &= fit
}

// number adds a number that is written so.
func (f *Form) number(s []byte) {
	f.kinds |= kindScalar
	if f.fits == 0 {
		return
	}
	fit, whole, fraction := numberFits(s)
	f.scalar(fit)
	f.whole, f.fraction = max(f.whole, whole), max(f.fraction, fraction)
}

// Empty says whether there were no values but nulls: then any type fits.
func (f *Form) Empty() bool { return f.kinds == 0 }

// Type is the type that keeps every value as it is, VARCHAR where no other does.
func (f *Form) Type() lake.Type {
	switch f.kinds {
	case kindArray:
		return lake.ListOf(f.elem.Type())
	case kindObject:
		if n := len(f.fields.names); n > 0 && n <= maxFormFields {
			return f.fields.structType()
		}
	case kindScalar:
		return f.scalarType()
	}
	return lake.Type{Kind: lake.Varchar}
}

func (f *Form) scalarType() lake.Type {
	for _, t := range []struct {
		of   fits
		kind lake.Kind
	}{
		{fitsBool, lake.Boolean}, {fitsBigint, lake.Bigint}, {fitsWhole, lake.Decimal}, {fitsDouble, lake.Double}, {fitsDecimal, lake.Decimal},
		{fitsUUID, lake.UUID}, {fitsDate, lake.Date}, {fitsTime, lake.Time}, {fitsTimestamp, lake.Timestamp}, {fitsTimestampTZ, lake.TimestampTZ},
	} {
		out := lake.Type{Kind: t.kind}
		if t.kind == lake.Decimal {
			out.Precision, out.Scale = 38, f.fraction
		}
		if f.fits&f.shown&t.of != 0 && f.Fits(out) {
			return out
		}
	}
	return lake.Type{Kind: lake.Varchar}
}

var fitsOf = map[lake.Kind]fits{
	lake.Boolean: fitsBool, lake.Bigint: fitsBigint, lake.Double: fitsDouble, lake.Decimal: fitsDecimal, lake.UUID: fitsUUID,
	lake.Date: fitsDate, lake.Time: fitsTime, lake.Timestamp: fitsTimestamp, lake.TimestampTZ: fitsTimestampTZ,
}

// Fits says whether a type keeps every value. VARCHAR keeps all: numbers and
// what is nested as they are written.
func (f *Form) Fits(t lake.Type) bool {
	switch {
	case f.Empty() || t.Kind == lake.Varchar:
		return true
	case f.kinds == kindArray:
		return t.Kind == lake.List && f.elem.Fits(t.Fields[0].Type)
	case f.kinds == kindObject:
		return t.Kind == lake.Struct && f.fields.fit(t.Fields)
	case f.kinds != kindScalar:
		return false
	case t.Kind == lake.Decimal && (f.whole > t.Precision-t.Scale || f.fraction > t.Scale):
		return false
	}
	return f.fits&fitsOf[t.Kind] != 0
}

// Join adds the values of another form.
func (f *Form) Join(o *Form) {
	f.kinds |= o.kinds
	f.fits &= o.fits
	f.shown |= o.shown
	f.whole, f.fraction = max(f.whole, o.whole), max(f.fraction, o.fraction)
	if o.elem != nil {
		f.array().Join(o.elem)
	}
	if o.fields != nil {
		f.object().join(o.fields)
	}
}

func (f *Form) array() *Form {
	if f.elem == nil {
		f.elem = newForm(f.depth + 1)
	}
	return f.elem
}

func (f *Form) object() *lookedAt {
	if f.fields == nil {
		f.fields = newLookedAt(f.depth + 1)
	}
	return f.fields
}

// lookedAt is the columns of rows, or the fields of objects, that were seen.
type lookedAt struct {
	names []string // as they came first
	forms []*Form
	seen  []uint64 // the object in which the field was last
	count uint64   // of objects
	exact map[string]int
	fold  map[string]int // by lower case
	depth int
}

// newLookedAt makes one whose forms are of a depth.
func newLookedAt(depth int) *lookedAt {
	return &lookedAt{exact: map[string]int{}, fold: map[string]int{}, depth: depth}
}

// field gives the position of a name, which may be new; the hint is tried first.
func (l *lookedAt) field(name []byte, hint int) int {
	if hint < len(l.names) && string(name) == l.names[hint] {
		return hint
	}
	if i, ok := l.exact[string(name)]; ok {
		return i
	}
	own := string(name)
	i, ok := l.fold[strings.ToLower(own)]
	if !ok {
		i = len(l.names)
		l.names, l.forms, l.seen = append(l.names, own), append(l.forms, newForm(l.depth)), append(l.seen, 0)
		l.fold[strings.ToLower(own)] = i
	}
	l.exact[own] = i
	return i
}

func (l *lookedAt) structType() lake.Type {
	t := lake.Type{Kind: lake.Struct, Fields: make([]lake.Column, len(l.names))}
	for i, name := range l.names {
		t.Fields[i] = lake.Column{Name: name, Type: l.forms[i].Type(), Nullable: true}
	}
	return t
}

// fit says whether the fields of a struct keep all that were seen.
func (l *lookedAt) fit(fields []lake.Column) bool {
	in := newNames(fields)
	for i, name := range l.names {
		at := in.find([]byte(name), i)
		if at < 0 || !l.forms[i].Fits(fields[at].Type) {
			return false
		}
	}
	return true
}

func (l *lookedAt) join(o *lookedAt) {
	for i, name := range o.names {
		l.forms[l.field([]byte(name), i)].Join(o.forms[i])
	}
}
