package lake

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Kind is the kind of a column type: what an Iceberg v2 table can hold.
type Kind uint8

// The kinds, in the order of the documentation's table.
const (
	Boolean     Kind = iota + 1
	Integer          // 32 bits, signed
	Bigint           // 64 bits, signed
	Float            // 32 bits
	Double           // 64 bits
	Decimal          // Precision up to 38, Scale
	Varchar          // UTF-8
	Blob             // bytes
	UUID             // 16 bytes
	Date             // days
	Time             // µs of a day
	Timestamp        // µs, without zone
	TimestampTZ      // µs, UTC
	List             // Fields[0] is the element
	Struct           // Fields
	Map              // Fields[0] is the key, Fields[1] the value
)

var kindSQL = map[Kind]string{
	Boolean: "BOOLEAN", Integer: "INTEGER", Bigint: "BIGINT", Float: "FLOAT", Double: "DOUBLE",
	Varchar: "VARCHAR", Blob: "BLOB", UUID: "UUID", Date: "DATE", Time: "TIME",
	Timestamp: "TIMESTAMP", TimestampTZ: "TIMESTAMP WITH TIME ZONE",
}

// Type is the type of a column or of a part of one.
type Type struct {
	Kind      Kind
	Precision int      // Decimal only
	Scale     int      // Decimal only
	Fields    []Column // List: element; Struct: fields; Map: key, value
}

// SQL is the type in DuckDB's spelling: DECIMAL(10,2), STRUCT("a" BIGINT),
// BIGINT[], MAP(VARCHAR, DOUBLE).
func (t Type) SQL() string {
	switch t.Kind {
	case Decimal:
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
	case List:
		return t.Fields[0].Type.SQL() + "[]"
	case Struct:
		parts := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			parts[i] = quoteFieldName(f.Name) + " " + f.Type.SQL()
		}
		return "STRUCT(" + strings.Join(parts, ", ") + ")"
	case Map:
		return "MAP(" + t.Fields[0].Type.SQL() + ", " + t.Fields[1].Type.SQL() + ")"
	default:
		if s, ok := kindSQL[t.Kind]; ok {
			return s
		}
		return fmt.Sprintf("<kind %d>", t.Kind)
	}
}

func (t Type) String() string { return t.SQL() }

// quoteFieldName quotes a struct field's name only where it must be, as DuckDB
// prints it.
func quoteFieldName(s string) string {
	if namePart.MatchString(s) && s == strings.ToLower(s) {
		return s
	}
	return QuoteIdent(s)
}

// Nested says whether the type has parts.
func (t Type) Nested() bool { return t.Kind == List || t.Kind == Struct || t.Kind == Map }

// CanBeKey says whether a column of the type can be part of a primary key.
// Floating and nested types cannot: their equality is not one of values.
func (t Type) CanBeKey() bool { return !t.Nested() && t.Kind != Float && t.Kind != Double }

// Equal compares types with the names of their parts, not with field ids.
func (t Type) Equal(o Type) bool {
	if t.Kind != o.Kind || t.Precision != o.Precision || t.Scale != o.Scale || len(t.Fields) != len(o.Fields) {
		return false
	}
	for i := range t.Fields {
		if t.Kind == Struct && t.Fields[i].Name != o.Fields[i].Name {
			return false
		}
		if !t.Fields[i].Type.Equal(o.Fields[i].Type) {
			return false
		}
	}
	return true
}

// typeJSON is the shape of a Type between processes; the text is for readers.
type typeJSON struct {
	SQL       string   `json:"sql"`
	Kind      Kind     `json:"kind"`
	Precision int      `json:"precision,omitempty"`
	Scale     int      `json:"scale,omitempty"`
	Fields    []Column `json:"fields,omitempty"`
}

// MarshalJSON keeps kind, parts and field ids, for messages between processes.
func (t Type) MarshalJSON() ([]byte, error) {
	return json.Marshal(typeJSON{t.SQL(), t.Kind, t.Precision, t.Scale, t.Fields})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *Type) UnmarshalJSON(b []byte) error {
	var j typeJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*t = Type{j.Kind, j.Precision, j.Scale, j.Fields}
	return nil
}

// sqlNames gives the kind of every spelling that ParseType takes. Narrow and
// unsigned integers are stored in the next wider kind that Iceberg has.
var sqlNames = map[string]Type{
	"BOOLEAN": {Kind: Boolean}, "BOOL": {Kind: Boolean}, "LOGICAL": {Kind: Boolean},
	"INTEGER": {Kind: Integer}, "INT": {Kind: Integer}, "INT4": {Kind: Integer}, "SIGNED": {Kind: Integer}, "INT32": {Kind: Integer},
	"TINYINT": {Kind: Bigint}, "INT1": {Kind: Bigint}, "SMALLINT": {Kind: Bigint}, "INT2": {Kind: Bigint}, "SHORT": {Kind: Bigint},
	"UTINYINT": {Kind: Bigint}, "USMALLINT": {Kind: Bigint}, "UINTEGER": {Kind: Bigint}, "INT16": {Kind: Bigint}, "INT8": {Kind: Bigint},
	"BIGINT": {Kind: Bigint}, "LONG": {Kind: Bigint}, "INT64": {Kind: Bigint},
	"UBIGINT": {Kind: Decimal, Precision: 20}, "HUGEINT": {Kind: Decimal, Precision: 38},
	"FLOAT": {Kind: Float}, "FLOAT4": {Kind: Float}, "REAL": {Kind: Float},
	"DOUBLE": {Kind: Double}, "FLOAT8": {Kind: Double}, "DOUBLE PRECISION": {Kind: Double},
	"VARCHAR": {Kind: Varchar}, "TEXT": {Kind: Varchar}, "STRING": {Kind: Varchar}, "CHAR": {Kind: Varchar}, "BPCHAR": {Kind: Varchar},
	"BLOB": {Kind: Blob}, "BYTEA": {Kind: Blob}, "BINARY": {Kind: Blob}, "VARBINARY": {Kind: Blob},
	"UUID": {Kind: UUID}, "GUID": {Kind: UUID}, "DATE": {Kind: Date},
	"TIME": {Kind: Time}, "TIME WITHOUT TIME ZONE": {Kind: Time},
	"TIMESTAMP": {Kind: Timestamp}, "DATETIME": {Kind: Timestamp}, "TIMESTAMP WITHOUT TIME ZONE": {Kind: Timestamp}, "TIMESTAMP_US": {Kind: Timestamp},
	"TIMESTAMP_S": {Kind: Timestamp}, "TIMESTAMP_MS": {Kind: Timestamp}, "TIMESTAMP_NS": {Kind: Timestamp},
	"TIMESTAMPTZ": {Kind: TimestampTZ}, "TIMESTAMP WITH TIME ZONE": {Kind: TimestampTZ},
}

// ParseType reads a type in DuckDB's spelling. What Iceberg cannot hold is
// refused by name (CodeUnsupported); what is no type is CodeInvalidRequest.
func ParseType(s string) (Type, error) {
	p := typeParser{src: s}
	t, err := p.parse()
	if err == nil {
		if p.space(); p.pos < len(p.src) {
			err = p.fail("%q is left over", p.src[p.pos:])
		}
	}
	if err != nil {
		return Type{}, err
	}
	return t, nil
}

type typeParser struct {
	src   string
	pos   int
	depth int
}

func (p *typeParser) fail(format string, args ...any) error {
	return Errorf(CodeInvalidRequest, "type %q: %s", p.src, fmt.Sprintf(format, args...)).
		WithHint("types are written as in DuckDB: BIGINT, DECIMAL(10,2), VARCHAR[], STRUCT(a BIGINT), MAP(VARCHAR, DOUBLE)")
}

func (p *typeParser) space() {
	for p.pos < len(p.src) && strings.ContainsRune(" \t\r\n", rune(p.src[p.pos])) {
		p.pos++
	}
}

func (p *typeParser) take(c byte) bool {
	if p.space(); p.pos < len(p.src) && p.src[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *typeParser) word() string {
	p.space()
	start := p.pos
	for p.pos < len(p.src) && isWordByte(p.src[p.pos]) {
		p.pos++
	}
	return p.src[start:p.pos]
}

// name reads a field's name, quoted or bare (any bytes but space and brackets).
func (p *typeParser) name() (string, error) {
	if p.take('"') {
		var b strings.Builder
		for p.pos < len(p.src) {
			c := p.src[p.pos]
			p.pos++
			if c != '"' {
				b.WriteByte(c)
				continue
			}
			if p.pos < len(p.src) && p.src[p.pos] == '"' {
				b.WriteByte('"')
				p.pos++
				continue
			}
			return b.String(), nil
		}
		return "", p.fail("a quoted name does not end")
	}
	start := p.pos
	for p.pos < len(p.src) && !strings.ContainsRune(" \t\r\n(),[]\"", rune(p.src[p.pos])) {
		p.pos++
	}
	if start == p.pos {
		return "", p.fail("a field name is missing at %q", p.src[start:])
	}
	return p.src[start:p.pos], nil
}

// mostNested is how deep types may be nested: what reads Parquet takes twice the time
// for each level.
const mostNested = 16

// depth is how many types stand within each other below this one.
func (t Type) depth() int {
	deepest := 0
	for _, f := range t.Fields {
		deepest = max(deepest, 1+f.Type.depth())
	}
	return deepest
}

func (p *typeParser) parse() (Type, error) {
	if p.depth++; p.depth > mostNested {
		return Type{}, p.fail("nested deeper than %d", mostNested)
	}
	defer func() { p.depth-- }()
	t, err := p.scalarOrCall()
	if err != nil {
		return Type{}, err
	}
	for p.take('[') {
		if !p.take(']') {
			return Type{}, p.fail("arrays of fixed size are not supported; use a list: %s[]", t.SQL())
		}
		t = ListOf(t)
		if p.depth+t.depth() > mostNested {
			return Type{}, p.fail("nested deeper than %d", mostNested)
		}
	}
	return t, nil
}

// ListOf is the type of lists of elem.
func ListOf(elem Type) Type {
	return Type{Kind: List, Fields: []Column{{Name: "element", Type: elem, Nullable: true}}}
}

func (p *typeParser) scalarOrCall() (Type, error) {
	word := strings.ToUpper(p.word())
	switch word {
	case "":
		return Type{}, p.fail("a type is missing")
	case "DECIMAL", "NUMERIC", "DEC":
		return p.decimal()
	case "STRUCT", "ROW":
		return p.structType()
	case "MAP":
		return p.mapType()
	}
	switch save := p.pos; {
	case word == "DOUBLE" || word == "TIME" || word == "TIMESTAMP":
		rest := []string{}
		for range 3 {
			rest = append(rest, strings.ToUpper(p.word()))
		}
		for n := 3; n > 0; n-- {
			if long := word + " " + strings.Join(rest[:n], " "); sqlNames[long].Kind != 0 {
				p.pos = save
				for range n {
					p.word()
				}
				return sqlNames[long], nil
			} else if long == "TIME WITH TIME ZONE" {
				return Type{}, Errorf(CodeUnsupported, "type %s: Iceberg has no such type", long).WithHint("use TIME or TIMESTAMPTZ")
			}
		}
		p.pos = save
	case word == "VARCHAR" || word == "CHAR" || word == "BPCHAR" || word == "TEXT":
		if p.take('(') { // a length is accepted and, as in DuckDB, means nothing
			if _, err := strconv.Atoi(p.word()); err != nil || !p.take(')') {
				return Type{}, p.fail("a length is expected")
			}
		}
	}
	if t, ok := sqlNames[word]; ok {
		return t, nil
	}
	switch word {
	case "INTERVAL", "TIMETZ", "UHUGEINT", "BIT", "BITSTRING", "UNION", "ENUM", "JSON", "VARIANT", "BIGNUM", "VARINT", "GEOMETRY", "NULL", "TIME_NS":
		return Type{}, Errorf(CodeUnsupported, "type %s: an Iceberg v2 table cannot hold it", word).
			WithHint("cast it first, for example to VARCHAR")
	}
	return Type{}, p.fail("%q is not a type", word)
}

func (p *typeParser) decimal() (Type, error) {
	t := Type{Kind: Decimal, Precision: 18, Scale: 3} // DuckDB's default
	if !p.take('(') {
		return t, nil
	}
	var err error
	if t.Precision, err = strconv.Atoi(p.word()); err != nil {
		return Type{}, p.fail("a precision is expected")
	}
	t.Scale = 0
	if p.take(',') {
		if t.Scale, err = strconv.Atoi(p.word()); err != nil {
			return Type{}, p.fail("a scale is expected")
		}
	}
	if !p.take(')') {
		return Type{}, p.fail(") is missing")
	}
	if t.Precision < 1 || t.Precision > 38 || t.Scale < 0 || t.Scale > t.Precision {
		return Type{}, p.fail("precision is 1 to 38, scale 0 to the precision")
	}
	return t, nil
}

func (p *typeParser) structType() (Type, error) {
	if !p.take('(') {
		return Type{}, p.fail("( is missing after STRUCT")
	}
	t := Type{Kind: Struct}
	seen := map[string]bool{}
	for {
		if p.space(); p.pos >= len(p.src) {
			return Type{}, p.fail(") is missing")
		}
		name, err := p.name()
		if err != nil {
			return Type{}, err
		}
		if seen[strings.ToLower(name)] {
			return Type{}, p.fail("field %q appears twice", name)
		}
		seen[strings.ToLower(name)] = true
		ft, err := p.parse()
		if err != nil {
			return Type{}, err
		}
		t.Fields = append(t.Fields, Column{Name: name, Type: ft, Nullable: true})
		if p.take(')') {
			return t, nil
		}
		if !p.take(',') {
			return Type{}, p.fail(", or ) is missing")
		}
	}
}

func (p *typeParser) mapType() (Type, error) {
	if !p.take('(') {
		return Type{}, p.fail("( is missing after MAP")
	}
	key, err := p.parse()
	if err != nil {
		return Type{}, err
	}
	if !p.take(',') {
		return Type{}, p.fail(", is missing in MAP")
	}
	val, err := p.parse()
	if err != nil {
		return Type{}, err
	}
	if !p.take(')') {
		return Type{}, p.fail(") is missing")
	}
	return MapOf(key, val), nil
}

// MapOf is the type of maps from key to value.
func MapOf(key, value Type) Type {
	return Type{Kind: Map, Fields: []Column{{Name: "key", Type: key}, {Name: "value", Type: value, Nullable: true}}}
}
