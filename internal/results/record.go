package results

import (
	"io"

	"tarn/internal/rows"
)

// Record passes an answer's body on and keeps the answer once it has ended well.
// One that is not repeatable, names no dataset or turns out too large is passed on
// alone. tail is asked after the body's end.
func (c *Cache) Record(q Question, format rows.OutFormat, contentType string, head rows.Head, body io.ReadCloser, tail func() rows.Tail) io.ReadCloser {
	if !c.Enabled() || !head.Repeatable || len(head.ReadPoints) == 0 {
		return body
	}
	return &recorder{ReadCloser: body, keep: func(text []byte) {
		cut, ok := rows.CutTail(format, text)
		if !ok {
			return
		}
		own := make([]byte, len(cut)) // no larger than it is
		copy(own, cut)
		c.put(q, &Entry{ContentType: contentType, Head: head, RowCount: tail().RowCount, Body: own})
	}, limit: c.limit()}
}

type recorder struct {
	io.ReadCloser
	keep  func([]byte)
	text  []byte
	limit int64
	over  bool // kept, or not to be
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.over {
		return n, err
	}
	if int64(len(r.text)+n) > r.limit {
		r.over, r.text = true, nil
		return n, err
	}
	r.text = append(r.text, p[:n]...)
	if err != nil {
		if r.over = true; err == io.EOF {
			r.keep(r.text)
		}
		r.text = nil
	}
	return n, err
}
