package rows

import (
	"context"
	"io"
	"strings"

	"tarn/internal/lake"
)

// Found is a column that Look found.
type Found struct {
	Name string
	Form *Form
}

// Look reads a body of text (JSON, NDJSON, CSV) as Decode does, without a schema
// (that of o is not used), and gives the columns that its rows have, in the order
// in which they come. Decode takes the body with the types of their forms, or
// other types that they fit, and with AnyText and, for JSON, MissingNull.
//
// It fails as Decoder.Next does, and where names are empty or are the same
// without regard to case.
func Look(ctx context.Context, f Format, r io.Reader, o DecodeOptions) ([]Found, error) {
	o.Schema = lake.Schema{}
	o = o.withDefaults()
	d := &Decoder{tally: &tally{max: o.MaxErrors}}
	seen := newLookedAt(1)
	switch f {
	case JSON:
		src := newJSONSource(newFeed(ctx, r), o, d.tally)
		src.tb.look, d.src = seen, src
	case NDJSON:
		src := newNDJSONSource(newFeed(ctx, r), o, d.tally)
		src.tb.look, d.src = seen, src
	case CSV:
		src := newCSVSource(newFeed(ctx, r), o, d.tally)
		src.look, d.src = seen, src
	default:
		return nil, lake.Errorf(lake.CodeInternal, "a look at %s, which has a schema of its own", f)
	}
	defer d.Close()
	for {
		batch, err := d.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		batch.Release() // it has no columns
	}
	out := make([]Found, len(seen.names))
	for i, name := range seen.names {
		out[i] = Found{name, seen.forms[i]}
	}
	return out, nil
}

// json looks at the object that the parser is at the '{' of. Every name in it
// must be there once.
func (l *lookedAt) json(p *parser) error {
	p.i++
	l.count++
	n := 0
	for first := true; ; first = false {
		more, err := p.more(first, '}')
		if err != nil || !more {
			return err
		}
		name, err := p.key()
		if err != nil {
			return err
		}
		if len(name) == 0 {
			return misfitf("", "a value has an empty name")
		}
		i := l.field(name, n)
		if l.seen[i] == l.count {
			return misfitf(clip(string(name), 100), "%s", twice(l.names[i], string(name)))
		}
		l.seen[i] = l.count
		n++
		if err := l.forms[i].json(p); err != nil {
			return err
		}
	}
}

// twice says that two names are the same.
func twice(a, b string) string {
	if a == b {
		return "it comes twice in one object, without regard to case"
	}
	return "it comes beside " + shown([]byte(a), true) + ", which is the same name without regard to case"
}

// json looks at the value that the parser is at.
func (f *Form) json(p *parser) error {
	switch b := p.peek(); b {
	case 'n':
		return p.word("null")
	case '"':
		s, err := p.str()
		if err == nil {
			f.text(s)
		}
		return err
	case 't':
		f.scalar(fitsBool)
		return p.word("true")
	case 'f':
		f.scalar(fitsBool)
		return p.word("false")
	case '[', '{':
		if f.depth >= maxFormDepth {
			f.kinds |= kindDeep
			_, err := p.skip()
			return err
		}
		if b == '{' {
			f.kinds |= kindObject
			return f.object().json(p)
		}
		f.kinds |= kindArray
		return f.array().elements(p)
	}
	lit, err := p.number()
	if err == nil {
		f.number(lit)
	}
	return err
}

// elements looks at the values of the array that the parser is at the '[' of.
func (f *Form) elements(p *parser) error {
	p.i++
	for first := true; ; first = false {
		more, err := p.more(first, ']')
		if err != nil || !more {
			return err
		}
		if err := f.json(p); err != nil {
			return err
		}
	}
}

// header takes the names of a CSV file's columns.
func (l *lookedAt) header(names []string) error {
	for i, name := range names {
		if strings.TrimSpace(name) == "" {
			return lake.Errorf(lake.CodeInvalidRequest, "column %d of %d has no name in the header", i+1, len(names)).
				WithHint("the first line of CSV names the columns")
		}
		if at := l.field([]byte(name), i); at != i {
			return lake.Errorf(lake.CodeInvalidRequest, "columns %q and %q of the header have the same name", l.names[at], name).
				WithHint("column names are unique without regard to case")
		}
	}
	return nil
}

// record looks at the fields of a CSV record.
func (l *lookedAt) record(rec *csvRecord) {
	for i := range rec.fields {
		if f := &rec.fields[i]; f.start != f.end || f.quoted {
			l.forms[i].field(rec.field(i))
		}
	}
}
