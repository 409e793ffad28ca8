package httpapi

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"strings"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// partsOf gives the parts of a multipart body as files. The end is only what
// the closing delimiter says: the standard reader takes a body that was cut
// behind a delimiter for whole. The body is read to its own end, so that the
// connection notices a client that goes away while the job runs.
func partsOf(body io.Reader, boundary string) func() (engine.ImportFile, error) {
	watched := &closingWatch{src: body, want: []byte("\n--" + boundary + "--"), carry: []byte("\n")}
	mr := multipart.NewReader(watched, boundary)
	count := 0
	return func() (engine.ImportFile, error) {
		part, err := mr.NextRawPart()
		if err == nil {
			count++
			return fileOf(part)
		}
		if err != io.EOF {
			return engine.ImportFile{}, brokenMultipart(err)
		}
		if _, err := io.Copy(io.Discard, watched); err != nil {
			return engine.ImportFile{}, brokenMultipart(err)
		}
		switch {
		case !watched.seen:
			return engine.ImportFile{}, brokenMultipart(io.ErrUnexpectedEOF)
		case count == 0:
			return engine.ImportFile{}, lake.Errorf(lake.CodeInvalidRequest, "the multipart body has no part").
				WithHint("send a file a part, each with its own Content-Type")
		}
		return engine.ImportFile{}, io.EOF
	}
}

// closingWatch passes a body on and notes whether it has the closing delimiter.
// What looks like one within a part is one.
type closingWatch struct {
	src   io.Reader
	want  []byte
	carry []byte // the end of what came before, shorter than want
	seen  bool
}

func (c *closingWatch) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	if c.seen || n == 0 {
		return n, err
	}
	edge := min(n, len(c.want)-1)
	c.carry = append(c.carry, p[:edge]...)
	c.seen = bytes.Contains(c.carry, c.want) || bytes.Contains(p[:n], c.want)
	if n > edge {
		c.carry = append(c.carry[:0], p[n-edge:n]...)
	} else if over := len(c.carry) - (len(c.want) - 1); over > 0 {
		c.carry = append(c.carry[:0], c.carry[over:]...)
	}
	return n, err
}

// fileOf reads what a part's header says.
func fileOf(part *multipart.Part) (engine.ImportFile, error) {
	name, contentType := part.FileName(), part.Header.Get("Content-Type")
	if name == "" {
		name = part.FormName()
	}
	at := "part " + clip(name)
	if part.FileName() == "" && contentType == "" {
		return engine.ImportFile{}, lake.Step(at, lake.Errorf(lake.CodeInvalidRequest, "it is a form field, not a file").
			WithHint("parameters go into the URL's query; a file needs a Content-Type"))
	}
	if enc := part.Header.Get("Content-Transfer-Encoding"); enc != "" && !contains([]string{"binary", "8bit", "7bit"}, strings.ToLower(enc)) {
		return engine.ImportFile{}, lake.Step(at, lake.Errorf(lake.CodeUnsupportedMedia, "Content-Transfer-Encoding %s is not supported", clip(enc)).
			WithHint("send the file as it is"))
	}
	format, _, err := rows.FormatOf(contentType)
	if err != nil {
		return engine.ImportFile{}, lake.Step(at, err)
	}
	return engine.ImportFile{Name: name, Format: format, Body: partBody{part}, Type: scopeType(contentType)}, nil
}

// partBody gives the errors of a part's body a code.
type partBody struct{ part io.Reader }

func (p partBody) Read(b []byte) (int, error) {
	n, err := p.part.Read(b)
	if err != nil && err != io.EOF {
		err = brokenMultipart(err)
	}
	return n, err
}

// brokenMultipart does not wrap its cause: that can be io.EOF, which whoever
// reads on must not take for the end of the files.
func brokenMultipart(err error) error {
	var known *lake.Error
	if errors.As(err, &known) {
		return known
	}
	return lake.Errorf(lake.CodeInvalidRequest, "the multipart body does not parse: %v", err)
}
