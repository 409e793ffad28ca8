package rows

import (
	"io"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
)

// FeedMark is an event of a change feed that is no change: its op is commit, content,
// schema, heartbeat or end.
type FeedMark struct {
	Op       string
	Sequence int64
	Time     time.Time
	Changes  int64  // of commit: how many changes the sequence has
	Reason   string // of end
}

// FeedChanges is a run of changes of one sequence. Deletes has an element a row: not 0
// where the row is a deleted key, of which the key columns alone are set.
type FeedChanges struct {
	Sequence int64
	Time     time.Time
	Position int64 // of the first within the sequence, from 1
	Rows     arrow.RecordBatch
	Deletes  []uint8
}

// FeedEncoder writes a change feed: NDJSON, an object a line, or an Arrow stream whose
// first columns say what the row is. Flush sends what is buffered; nothing else must.
type FeedEncoder interface {
	Changes(c FeedChanges) error
	Mark(m FeedMark) error
	Flush() error
	// End writes what is left; without it the feed is not whole.
	End() error
}

// NewFeedEncoder makes the encoder of a feed of a dataset; f is OutNDJSON or OutArrow.
// Errors of w come back as they are.
func NewFeedEncoder(f OutFormat, w io.Writer, s lake.Schema) (FeedEncoder, error) {
	o := out{w: w, limit: outFirstBytes}
	switch f {
	case OutNDJSON:
		return newNDJSONFeed(o, s)
	case OutArrow:
		return newArrowFeed(o, s), nil
	}
	return nil, lake.Errorf(lake.CodeNotAcceptable, "a change feed is not given as %s", f.ContentType()).
		WithHint("accept %s or %s", MediaNDJSON, MediaArrow)
}

// NegotiateFeed picks the format of a change feed by an Accept header, as Negotiate
// does: NDJSON unless Arrow is asked for.
func NegotiateFeed(accept string) (OutFormat, string, error) {
	return negotiate(accept, OutNDJSON, OutArrow)
}

// ndjsonFeed writes
//
//	{"op":"upsert","sequence":7,"position":1,"time":"…","row":{…}}
//	{"op":"delete","sequence":7,"position":2,"time":"…","key":{…}}
//	{"op":"commit","sequence":7,"time":"…","changes":2}
type ndjsonFeed struct {
	out      out
	rows     renders
	rowHeads [][]byte
	keys     []int // positions of the key's columns
	keyHeads [][]byte
}

func newNDJSONFeed(o out, s lake.Schema) (*ndjsonFeed, error) {
	f := &ndjsonFeed{out: o, keys: s.KeyIndexes(), keyHeads: memberHeads(s.Key)}
	cols, names := make([]Column, len(s.Columns)), make([]string, len(s.Columns))
	for i, c := range s.Columns {
		cols[i], names[i] = Column{c.Name, c.Type.SQL()}, c.Name
	}
	f.rowHeads = memberHeads(names)
	var err error
	f.rows, err = newRenders(cols, s.Arrow())
	return f, err
}

func (f *ndjsonFeed) head(op string, sequence int64) {
	f.out.buf = append(f.out.buf, `{"op":"`...)
	f.out.buf = append(f.out.buf, op...)
	f.out.buf = append(f.out.buf, `","sequence":`...)
	f.out.buf = strconv.AppendInt(f.out.buf, sequence, 10)
}

func (f *ndjsonFeed) when(t time.Time) {
	f.out.buf = append(f.out.buf, `,"time":"`...)
	f.out.buf = appendTimestamp(f.out.buf, t.UnixMicro(), 1_000_000, true)
	f.out.buf = append(f.out.buf, '"')
}

func (f *ndjsonFeed) Changes(c FeedChanges) error {
	key := make(renders, len(f.keys))
	for i, k := range f.keys {
		key[i] = f.rows[k]
	}
	return f.rows.each(&f.out, c.Rows, func(i int) {
		op := "upsert"
		if c.Deletes[i] != 0 {
			op = "delete"
		}
		f.head(op, c.Sequence)
		f.out.buf = append(f.out.buf, `,"position":`...)
		f.out.buf = strconv.AppendInt(f.out.buf, c.Position+int64(i), 10)
		f.when(c.Time)
		if c.Deletes[i] != 0 {
			f.out.buf = append(f.out.buf, `,"key":`...)
			f.out.buf = appendObject(f.out.buf, f.keyHeads, key, i)
		} else {
			f.out.buf = append(f.out.buf, `,"row":`...)
			f.out.buf = appendObject(f.out.buf, f.rowHeads, f.rows, i)
		}
		f.out.buf = append(f.out.buf, '}', '\n')
	})
}

func (f *ndjsonFeed) Mark(m FeedMark) error {
	f.head(m.Op, m.Sequence)
	f.when(m.Time)
	switch {
	case m.Reason != "":
		f.out.buf = append(f.out.buf, `,"reason":`...)
		f.out.buf = appendString(f.out.buf, m.Reason)
	case m.Op == "commit":
		f.out.buf = append(f.out.buf, `,"changes":`...)
		f.out.buf = strconv.AppendInt(f.out.buf, m.Changes, 10)
	}
	f.out.buf = append(f.out.buf, '}', '\n')
	return f.out.full()
}

func (f *ndjsonFeed) Flush() error { return f.out.flush() }
func (f *ndjsonFeed) End() error   { return f.out.flush() }

// The columns of an Arrow feed before the dataset's own. Of a mark the dataset's are
// null, and so is the position; the count is of commit, the reason of end.
var feedFields = []arrow.Field{
	{Name: lake.ReservedColumnPrefix + "op", Type: arrow.BinaryTypes.String},
	{Name: lake.ReservedColumnPrefix + "sequence", Type: arrow.PrimitiveTypes.Int64},
	{Name: lake.ReservedColumnPrefix + "position", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: lake.ReservedColumnPrefix + "time", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
	{Name: lake.ReservedColumnPrefix + "changes", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: lake.ReservedColumnPrefix + "reason", Type: arrow.BinaryTypes.String, Nullable: true},
}

type arrowFeed struct {
	out    *out
	w      *ipc.Writer
	schema *arrow.Schema
}

func newArrowFeed(o out, s lake.Schema) *arrowFeed {
	fields := append([]arrow.Field{}, feedFields...)
	for _, c := range s.Columns {
		field := c.Arrow()
		field.Nullable = true
		fields = append(fields, field)
	}
	f := &arrowFeed{out: &o, schema: arrow.NewSchema(fields, nil)}
	f.w = ipc.NewWriter(f.out, ipc.WithSchema(f.schema))
	return f
}

func (f *arrowFeed) Changes(c FeedChanges) error {
	n := len(c.Deletes)
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(feedFields, nil))
	defer b.Release()
	for i := range n {
		op := "upsert"
		if c.Deletes[i] != 0 {
			op = "delete"
		}
		b.Field(0).(*array.StringBuilder).Append(op)
		b.Field(1).(*array.Int64Builder).Append(c.Sequence)
		b.Field(2).(*array.Int64Builder).Append(c.Position + int64(i))
		b.Field(3).(*array.TimestampBuilder).Append(arrow.Timestamp(c.Time.UnixMicro()))
		b.Field(4).AppendNull()
		b.Field(5).AppendNull()
	}
	head := b.NewRecordBatch()
	defer head.Release()
	return f.write(append(append([]arrow.Array{}, head.Columns()...), c.Rows.Columns()...), n)
}

func (f *arrowFeed) Mark(m FeedMark) error {
	b := array.NewRecordBuilder(memory.DefaultAllocator, f.schema)
	defer b.Release()
	for i := range f.schema.NumFields() {
		b.Field(i).AppendNull()
	}
	columns := b.NewRecordBatch()
	defer columns.Release()
	h := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(feedFields, nil))
	defer h.Release()
	h.Field(0).(*array.StringBuilder).Append(m.Op)
	h.Field(1).(*array.Int64Builder).Append(m.Sequence)
	h.Field(2).AppendNull()
	h.Field(3).(*array.TimestampBuilder).Append(arrow.Timestamp(m.Time.UnixMicro()))
	if m.Op == "commit" {
		h.Field(4).(*array.Int64Builder).Append(m.Changes)
	} else {
		h.Field(4).AppendNull()
	}
	if m.Reason != "" {
		h.Field(5).(*array.StringBuilder).Append(m.Reason)
	} else {
		h.Field(5).AppendNull()
	}
	head := h.NewRecordBatch()
	defer head.Release()
	return f.write(append(append([]arrow.Array{}, head.Columns()...), columns.Columns()[len(feedFields):]...), 1)
}

func (f *arrowFeed) write(columns []arrow.Array, n int) error {
	rec := array.NewRecordBatch(f.schema, columns, int64(n))
	defer rec.Release()
	return f.w.Write(rec)
}

func (f *arrowFeed) Flush() error { return f.out.flush() }

func (f *arrowFeed) End() error {
	if err := f.w.Close(); err != nil {
		return err
	}
	return f.out.flush()
}
