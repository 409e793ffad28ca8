package rows

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"tarn/internal/lake"
)

// cell appends values of one column, or of one part of a nested one, to its
// Arrow builder. Whatever format a value comes in, it enters by one of the
// from functions; one that is nil means that the type takes no such value.
//
// After an error builders may be of uneven length: the batch is then thrown
// away with its cells.
type cell struct {
	path     string // as messages name it: a.b, a[]
	typ      lake.Type
	nullable bool
	anyText  bool // see DecodeOptions
	b        array.Builder

	fromBool    func(bool)
	fromNumber  func(literal []byte) error // JSON number
	fromString  func(s []byte) error       // JSON string
	fromText    func(s []byte) error       // CSV field
	fromInt     func(int64) error
	fromFloat   func(float64) error
	fromDecimal func(v decimal128.Num, scale int) error
	fromBytes   func([]byte) error
	fromDate    func(days int64) error
	fromTime    func(micros int64) error
	fromInstant func(micros int64) error // timestamp with or without zone

	object *object // Struct
	elem   *cell   // List: the element; Map: the value
	key    *cell   // Map
}

// newCell makes the cell for a column whose builder is of type typ.Arrow().
func newCell(c lake.Column, path string, b array.Builder, missing MissingPolicy) (*cell, error) {
	x := &cell{path: path, typ: c.Type, nullable: c.Nullable, b: b}
	var err error
	switch c.Type.Kind {
	case lake.List:
		lb := b.(*array.ListBuilder)
		x.elem, err = newCell(c.Type.Fields[0], path+"[]", lb.ValueBuilder(), missing)
	case lake.Map:
		mb := b.(*array.MapBuilder)
		if x.key, err = newCell(c.Type.Fields[0], path+"{key}", mb.KeyBuilder(), missing); err == nil {
			x.elem, err = newCell(c.Type.Fields[1], path+"{value}", mb.ItemBuilder(), missing)
		}
		if x.key != nil {
			x.key.nullable = false
		}
	case lake.Struct:
		sb := b.(*array.StructBuilder)
		cells := make([]*cell, len(c.Type.Fields))
		for i, f := range c.Type.Fields {
			if cells[i], err = newCell(f, path+"."+f.Name, sb.FieldBuilder(i), missing); err != nil {
				return nil, err
			}
		}
		x.object = newObject(c.Type.Fields, cells, missing)
	default:
		err = x.scalar()
	}
	if x.typ.Nested() {
		x.fromText = x.nestedText
	}
	return x, err
}

// takeAnyText sets it in the cell and in its parts.
func (c *cell) takeAnyText() {
	c.anyText = c.typ.Kind == lake.Varchar
	if c.key != nil {
		c.key.takeAnyText()
	}
	if c.elem != nil {
		c.elem.takeAnyText()
	}
	if c.object != nil {
		for _, part := range c.object.cells {
			part.takeAnyText()
		}
	}
}

// null appends a null, or fails where there must be none.
func (c *cell) null() error {
	if !c.nullable {
		return misfitf(c.path, "null, and the column cannot be null")
	}
	c.b.AppendNull()
	return nil
}

// wrong makes the misfit of a value that is not of the cell's type.
func (c *cell) wrong(value string, err error) error {
	var why reason
	if errors.As(err, &why) {
		return misfitf(c.path, "%s %s%s", value, string(why), c.typ)
	}
	return err
}

// json appends the value that the parser is at.
func (c *cell) json(p *parser) error {
	b := p.peek()
	if c.anyText && b != '"' && b != 'n' {
		return c.written(p)
	}
	switch b {
	case 'n':
		if err := p.word("null"); err != nil {
			return err
		}
		return c.null()
	case '"':
		s, err := p.str()
		if err != nil {
			return err
		}
		if c.fromString == nil {
			return misfitf(c.path, "the string %s where %s is expected", shown(s, true), c.wants())
		}
		if err := c.fromString(s); err != nil {
			return c.wrong(shown(s, true), err)
		}
		return nil
	case 't', 'f':
		word := "true"
		if b == 'f' {
			word = "false"
		}
		if err := p.word(word); err != nil {
			return err
		}
		if c.fromBool == nil {
			return misfitf(c.path, "%s where %s is expected", word, c.wants())
		}
		c.fromBool(b == 't')
		return nil
	case '[':
		switch c.typ.Kind {
		case lake.List:
			return c.list(p)
		case lake.Map:
			return c.pairs(p)
		}
		return misfitf(c.path, "an array where %s is expected", c.wants())
	case '{':
		if c.object == nil {
			return misfitf(c.path, "an object where %s is expected", c.wants())
		}
		c.b.(*array.StructBuilder).Append(true)
		return c.object.json(p)
	}
	lit, err := p.number()
	if err != nil {
		return err
	}
	if c.fromNumber == nil {
		return misfitf(c.path, "the number %s where %s is expected", shown(lit, false), c.wants())
	}
	if err := c.fromNumber(lit); err != nil {
		return c.wrong(shown(lit, false), err)
	}
	return nil
}

// written appends a value that is no string as it is written.
func (c *cell) written(p *parser) error {
	raw, err := p.skip()
	if err != nil {
		return err
	}
	if err := c.fromString(raw); err != nil {
		return c.wrong(shown(raw, false), err)
	}
	return nil
}

// wants names the JSON that the type is written as.
func (c *cell) wants() string {
	form := ""
	switch c.typ.Kind {
	case lake.Boolean:
		form = "true or false"
	case lake.Integer, lake.Bigint, lake.Float, lake.Double, lake.Decimal:
		form = "a number"
	case lake.List:
		form = "an array"
	case lake.Map:
		form = "an array of [key, value]"
	case lake.Struct:
		form = "an object"
	default:
		form = "a string"
	}
	return fmt.Sprintf("%s (%s)", form, c.typ)
}

// text appends a CSV field; an empty unquoted one is the caller's null.
func (c *cell) text(s []byte) error {
	if err := c.fromText(s); err != nil {
		return c.wrong(shown(s, true), err)
	}
	return nil
}

// nestedText reads a nested value of a CSV field, which is JSON.
func (c *cell) nestedText(s []byte) error {
	p := parser{b: s}
	err := c.json(&p)
	if err == nil {
		err = p.end()
	}
	var syn *syntaxError
	if errors.As(err, &syn) {
		return misfitf(c.path, "%s is not JSON: byte %d: %s", shown(s, true), syn.at+1, syn.what)
	}
	return err
}

func (c *cell) list(p *parser) error {
	p.i++
	c.b.(*array.ListBuilder).Append(true)
	for first := true; ; first = false {
		more, err := p.more(first, ']')
		if err != nil || !more {
			return err
		}
		if err = c.elem.json(p); err != nil {
			return err
		}
	}
}

func (c *cell) pairs(p *parser) error {
	p.i++
	c.b.(*array.MapBuilder).Append(true)
	for first := true; ; first = false {
		more, err := p.more(first, ']')
		if err != nil || !more {
			return err
		}
		if !p.take('[') {
			return misfitf(c.path, "a member of a map is not a [key, value]")
		}
		for i, part := range [2]*cell{c.key, c.elem} {
			if more, err := p.more(i == 0, ']'); err != nil {
				return err
			} else if !more {
				return misfitf(c.path, "a member of a map has fewer than two parts")
			}
			if err := part.json(p); err != nil {
				return err
			}
		}
		if more, err := p.more(false, ']'); err != nil {
			return err
		} else if more {
			return misfitf(c.path, "a member of a map has more than two parts")
		}
	}
}

// object reads JSON objects into cells by name: a row, or a struct.
type object struct {
	cols    []lake.Column
	cells   []*cell
	names   *names
	missing MissingPolicy
	seen    []uint64 // the object in which the cell was last set
	count   uint64   // of objects
	must    []bool   // of MissingKeep: columns that may not be missing
}

func newObject(cols []lake.Column, cells []*cell, missing MissingPolicy) *object {
	return &object{cols: cols, cells: cells, names: newNames(cols), missing: missing, seen: make([]uint64, len(cells))}
}

// json appends the object that the parser is at the '{' of.
func (o *object) json(p *parser) error {
	p.i++
	o.count++
	n := 0
	for first := true; ; first = false {
		more, err := p.more(first, '}')
		if err != nil {
			return err
		}
		if !more {
			break
		}
		name, err := p.key()
		if err != nil {
			return err
		}
		i := o.names.find(name, n)
		if i < 0 {
			return misfitf(clip(string(name), 100), "there is no such %s", o.kind())
		}
		c := o.cells[i]
		if o.seen[i] == o.count {
			return misfitf(c.path, "it comes twice in one object")
		}
		o.seen[i] = o.count
		n++
		if err := c.json(p); err != nil {
			return err
		}
	}
	if n == len(o.cells) {
		return nil
	}
	for i, c := range o.cells {
		if o.seen[i] != o.count {
			why := missingWhy(o.cols[i], o.missing.inRow())
			if o.missing == MissingKeep && !o.must[i] {
				why = ""
			}
			if why != "" {
				return misfitf(c.path, "%s", why)
			}
			c.b.AppendNull()
		}
	}
	return nil
}

// inRow is the policy for one row.
func (p MissingPolicy) inRow() MissingPolicy {
	if p == MissingInSome {
		return MissingNull
	}
	return p
}

// kind is what a member of the object is.
func (o *object) kind() string {
	if len(o.cells) > 0 && o.cells[0].path != o.cols[0].Name {
		return "field"
	}
	return "column"
}
