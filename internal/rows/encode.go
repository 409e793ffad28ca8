package rows

import (
	"io"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/lake"
)

// Column is a column of an answer. Type is DuckDB's spelling, such as
// DECIMAL(38,0), HUGEINT or STRUCT(a BIGINT).
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Head is what is known of an answer before its rows, by dataset as the query
// knows it.
type Head struct {
	ReadPoints map[string]lake.Place
	ServedFrom map[string]string
	// Repeatable says that another run at the same read points gives the same
	// answer, as far as SQL decides it. No format shows it.
	Repeatable bool
}

// Tail is what is known after them.
type Tail struct {
	RowCount  int64
	ElapsedMS float64
	// Changed is the JSON of what a statement did whose rows these are; "" for those
	// of a query. Only OutJSON writes it.
	Changed string
}

// Encoder writes an answer as a stream: Begin, Write for each batch, End, in
// that order; anything else is refused. It writes nothing before its buffer is
// full or End comes, and holds no batch after Write has returned. After an
// error, and without End, the answer is not whole and must not end well.
type Encoder interface {
	// Begin gives the columns and the schema of the batches. Only OutJSON
	// writes the head; the other formats carry it in HTTP headers. A column of
	// a type that the format cannot carry is CodeUnsupported.
	Begin(cols []Column, schema *arrow.Schema, head Head) error
	Write(rec arrow.RecordBatch) error
	// End writes what is left. Only OutJSON writes the tail.
	End(tail Tail) error
}

// NewEncoder makes the encoder of a format. Errors of w come back as they are.
func NewEncoder(f OutFormat, w io.Writer) Encoder {
	o := out{w: w, limit: outFirstBytes}
	var body framing
	switch f {
	case OutNDJSON:
		body = &ndjsonFraming{}
	case OutCSV:
		body = &csvFraming{}
	case OutArrow:
		body = &arrowFraming{}
	case OutParquet:
		body = &parquetFraming{}
	default:
		body = &jsonFraming{}
	}
	return &encoder{out: o, body: body}
}

// framing is what the formats differ in.
type framing interface {
	begin(o *out, cols []Column, schema *arrow.Schema, head Head) error
	write(o *out, rec arrow.RecordBatch) error
	end(o *out, tail Tail) error
}

type encoderState int

const (
	encoderNew encoderState = iota
	encoderOpen
	encoderDone
)

// encoder keeps the order of calls.
type encoder struct {
	out   out
	body  framing
	state encoderState
}

func (e *encoder) step(name string, want, next encoderState, f func() error) error {
	if e.state != want {
		return lake.Errorf(lake.CodeInternal, "encode an answer: %s out of order", name)
	}
	e.state = encoderDone // unless it goes well
	if err := f(); err != nil {
		return err
	}
	e.state = next
	return nil
}

func (e *encoder) Begin(cols []Column, schema *arrow.Schema, head Head) error {
	return e.step("Begin", encoderNew, encoderOpen, func() error {
		if len(cols) != schema.NumFields() {
			return lake.Errorf(lake.CodeInternal, "encode an answer: %d columns, but the schema has %d", len(cols), schema.NumFields())
		}
		return e.body.begin(&e.out, cols, schema, head)
	})
}

func (e *encoder) Write(rec arrow.RecordBatch) error {
	return e.step("Write", encoderOpen, encoderOpen, func() error { return e.body.write(&e.out, rec) })
}

func (e *encoder) End(tail Tail) error {
	return e.step("End", encoderOpen, encoderDone, func() error {
		if err := e.body.end(&e.out, tail); err != nil {
			return err
		}
		return e.out.flush()
	})
}

// The buffer before the writer. It begins small so that the first rows go out
// early, and grows so that a long answer goes out in few pieces.
const (
	outFirstBytes = 4 << 10
	outBytes      = 256 << 10
)

// out buffers an answer.
type out struct {
	w     io.Writer
	buf   []byte
	limit int
}

// full sends the buffer when it has reached its limit.
func (o *out) full() error {
	if len(o.buf) < o.limit {
		return nil
	}
	if o.limit *= 2; o.limit > outBytes {
		o.limit = outBytes
	}
	return o.flush()
}

func (o *out) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	_, err := o.w.Write(o.buf)
	if o.buf = o.buf[:0]; cap(o.buf) > 4*outBytes {
		o.buf = nil // one huge row does not stay
	}
	return err
}

// Write lets the Arrow writer write.
func (o *out) Write(p []byte) (int, error) {
	if len(p) >= outBytes {
		if err := o.flush(); err != nil {
			return 0, err
		}
		return o.w.Write(p)
	}
	o.buf = append(o.buf, p...)
	return len(p), o.full()
}

// renders are the renders of an answer's columns.
type renders []*render

func newRenders(cols []Column, schema *arrow.Schema) (renders, error) {
	rs := make(renders, len(cols))
	for i, c := range cols {
		var err error
		if rs[i], err = newRender(schema.Field(i).Type); err != nil {
			return nil, lake.Step("column "+strconv.Quote(c.Name)+" of type "+c.Type, err)
		}
	}
	return rs, nil
}

// bind sets the batch; nil lets it go.
func (rs renders) bind(rec arrow.RecordBatch) {
	for i, r := range rs {
		if rec == nil {
			r.bind(nil)
		} else {
			r.bind(rec.Column(i))
		}
	}
}

// each calls row for every row of a batch.
func (rs renders) each(o *out, rec arrow.RecordBatch, row func(i int)) error {
	rs.bind(rec)
	defer rs.bind(nil)
	for i := range int(rec.NumRows()) {
		row(i)
		if err := o.full(); err != nil {
			return err
		}
	}
	return nil
}

// AppendRow appends one row of a batch as a JSON object, with the names of the
// batch's schema.
func AppendRow(dst []byte, rec arrow.RecordBatch, row int) ([]byte, error) {
	names := make([]string, rec.NumCols())
	fields := make([]*render, len(names))
	for i, f := range rec.Schema().Fields() {
		names[i] = f.Name
		var err error
		if fields[i], err = newRender(f.Type); err != nil {
			return dst, lake.Step("column "+strconv.Quote(f.Name), err)
		}
		fields[i].bind(rec.Column(i))
	}
	return appendObject(dst, memberHeads(uniqueNames(names)), fields, row), nil
}
