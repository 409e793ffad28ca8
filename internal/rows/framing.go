package rows

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"tarn/internal/lake"
)

// jsonFraming writes {"columns", "read_points", "served_from", "rows",
// "row_count", "elapsed_ms"}; a row is an array.
type jsonFraming struct {
	rs    renders
	wrote bool
}

func (f *jsonFraming) begin(o *out, cols []Column, schema *arrow.Schema, head Head) error {
	var err error
	if f.rs, err = newRenders(cols, schema); err != nil {
		return err
	}
	o.buf = append(o.buf, `{"columns":[`...)
	for i, c := range cols {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		o.buf = append(o.buf, `{"name":`...)
		o.buf = appendString(o.buf, c.Name)
		o.buf = append(o.buf, `,"type":`...)
		o.buf = appendString(o.buf, c.Type)
		o.buf = append(o.buf, '}')
	}
	if head.ReadPoints == nil {
		head.ReadPoints = map[string]lake.Place{}
	}
	if head.ServedFrom == nil {
		head.ServedFrom = map[string]string{}
	}
	points, err := json.Marshal(head.ReadPoints)
	if err != nil {
		return err
	}
	served, err := json.Marshal(head.ServedFrom)
	if err != nil {
		return err
	}
	o.buf = append(o.buf, `],"read_points":`...)
	o.buf = append(o.buf, points...)
	o.buf = append(o.buf, `,"served_from":`...)
	o.buf = append(o.buf, served...)
	o.buf = append(o.buf, `,"rows":[`...)
	return nil
}

func (f *jsonFraming) write(o *out, rec arrow.RecordBatch) error {
	return f.rs.each(o, rec, func(i int) {
		if f.wrote {
			o.buf = append(o.buf, ',')
		}
		f.wrote = true
		o.buf = append(o.buf, '\n', '[')
		for k, r := range f.rs {
			if k > 0 {
				o.buf = append(o.buf, ',')
			}
			o.buf = r.value(o.buf, i)
		}
		o.buf = append(o.buf, ']')
	})
}

func (f *jsonFraming) end(o *out, tail Tail) error {
	if f.wrote {
		o.buf = append(o.buf, '\n')
	}
	o.buf = AppendTail(o.buf, OutJSON, tail)
	return nil
}

const jsonTail = `],"row_count":`

// AppendTail appends what follows the rows of a whole answer: nothing, but for
// OutJSON.
func AppendTail(dst []byte, f OutFormat, tail Tail) []byte {
	if f != OutJSON {
		return dst
	}
	dst = append(dst, jsonTail...)
	dst = strconv.AppendInt(dst, tail.RowCount, 10)
	dst = append(dst, `,"elapsed_ms":`...)
	dst = strconv.AppendFloat(dst, tail.ElapsedMS, 'f', 3, 64)
	if tail.Changed != "" {
		dst = append(dst, `,"changed":`...)
		dst = append(dst, tail.Changed...)
	}
	return append(dst, '}', '\n')
}

// CutTail takes off a whole answer what AppendTail appended; ok is false where it
// has no tail.
func CutTail(f OutFormat, answer []byte) (cut []byte, ok bool) {
	if f != OutJSON {
		return answer, true
	}
	at := bytes.LastIndex(answer, []byte(jsonTail)) // a text in a row has no bare quotes
	return answer[:max(0, at)], at >= 0
}

// ndjsonFraming writes an object a row. Names that come twice are made unique
// as DuckDB does: a, a_1.
type ndjsonFraming struct {
	rs    renders
	heads [][]byte
}

func (f *ndjsonFraming) begin(_ *out, cols []Column, schema *arrow.Schema, _ Head) (err error) {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Name
	}
	f.heads = memberHeads(uniqueNames(names))
	f.rs, err = newRenders(cols, schema)
	return err
}

func (f *ndjsonFraming) write(o *out, rec arrow.RecordBatch) error {
	return f.rs.each(o, rec, func(i int) {
		o.buf = appendObject(o.buf, f.heads, f.rs, i)
		o.buf = append(o.buf, '\n')
	})
}

func (f *ndjsonFraming) end(*out, Tail) error { return nil }

// csvFraming writes RFC 4180 with a header. A null is an empty field, an empty
// text is "", and a nested value is JSON.
type csvFraming struct {
	rs renders
}

func (f *csvFraming) begin(o *out, cols []Column, schema *arrow.Schema, _ Head) (err error) {
	for i, c := range cols {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		start := len(o.buf)
		o.buf = append(o.buf, c.Name...)
		o.buf = csvTail(o.buf, start)
	}
	o.buf = append(o.buf, '\r', '\n')
	f.rs, err = newRenders(cols, schema)
	return err
}

func (f *csvFraming) write(o *out, rec arrow.RecordBatch) error {
	return f.rs.each(o, rec, func(i int) {
		for k, r := range f.rs {
			if k > 0 {
				o.buf = append(o.buf, ',')
			}
			if r.null(i) {
				continue
			}
			start := len(o.buf)
			o.buf = r.put(o.buf, i)
			if r.style == escaped || r.style == nested || len(o.buf) == start {
				o.buf = csvTail(o.buf, start)
			}
		}
		o.buf = append(o.buf, '\r', '\n')
	})
}

func (f *csvFraming) end(*out, Tail) error { return nil }

// csvTail quotes dst[start:] where it must be quoted: it is empty, or holds a
// comma, a quote or a line end, or space at an end that a reader might trim.
func csvTail(dst []byte, start int) []byte {
	v := dst[start:]
	if len(v) > 0 && !bytes.ContainsAny(v, ",\"\r\n") && !isSpace(v[0]) && !isSpace(v[len(v)-1]) {
		return dst
	}
	quotes := bytes.Count(v, []byte{'"'})
	end := len(dst)
	for range quotes + 2 {
		dst = append(dst, '"')
	}
	// Move from the end, doubling quotes.
	to := len(dst) - 2
	for i := end - 1; i >= start; i-- {
		dst[to] = dst[i]
		to--
		if dst[i] == '"' {
			dst[to] = '"'
			to--
		}
	}
	dst[start] = '"'
	return dst
}

// arrowFraming writes an Arrow IPC stream of the batches as they come.
type arrowFraming struct {
	w *ipc.Writer
}

func (f *arrowFraming) begin(o *out, _ []Column, schema *arrow.Schema, _ Head) error {
	f.w = ipc.NewWriter(o, ipc.WithSchema(schema))
	return nil
}

func (f *arrowFraming) write(_ *out, rec arrow.RecordBatch) error { return f.w.Write(rec) }

func (f *arrowFraming) end(*out, Tail) error { return f.w.Close() }
