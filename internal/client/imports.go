package client

import (
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// File is one file to upload. Open is called when its turn comes.
type File struct {
	Name        string // for messages
	ContentType string
	Size        int64 // bytes; -1 unknown
	Open        func() (io.ReadCloser, error)
}

// ImportOptions say how to import. The zero value creates a dataset without a
// key.
type ImportOptions struct {
	Mode           engine.ImportMode
	PrimaryKey     []string
	OnDuplicate    engine.OnDuplicate
	IdempotencyKey string
	Sent           func(bytes, total int64) // upload; total is -1 where unknown; may be nil
	Progress       func(Job)                // the job afterwards; may be nil
}

// Import uploads files and brings them into a dataset in one commit. When ctx
// ends during the upload nothing happens; afterwards the job goes on.
func (c *Client) Import(ctx context.Context, name lake.Name, files []File, o ImportOptions) (engine.ImportResult, error) {
	var out engine.ImportResult
	if len(files) == 0 {
		return out, lake.Errorf(lake.CodeInvalidRequest, "no file to import")
	}
	q := newRequest(http.MethodPost, datasetPath(name, "/import")).idempotencyKey(o.IdempotencyKey)
	if o.Mode != "" {
		q.query.Set("mode", string(o.Mode))
	}
	if o.OnDuplicate != "" {
		q.query.Set("on_duplicate", string(o.OnDuplicate))
	}
	if o.PrimaryKey != nil {
		q.query.Set("primary_key", joinColumns(o.PrimaryKey))
	}
	// A server that refuses by the header alone then gets no upload.
	q.header.Set("Expect", "100-continue")
	body, contentType := newUpload(files, o.Sent)
	defer body.Close()
	q.body, q.length = body, -1
	q.header.Set("Content-Type", contentType)
	id, err := c.started(ctx, q)
	if err != nil {
		return out, err
	}
	err = c.result(ctx, id, o.Progress, &out)
	return out, err
}

// joinColumns writes column names for primary_key.
func joinColumns(names []string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		if strings.ContainsAny(n, `,"`) {
			n = `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
		}
		parts[i] = n
	}
	return strings.Join(parts, ",")
}

// newUpload streams files as multipart, a file a part. A goroutine writes while
// the transport reads; closing the reader ends it.
func newUpload(files []File, report func(sent, total int64)) (io.ReadCloser, string) {
	total := int64(0)
	for _, f := range files {
		if f.Size < 0 {
			total = -1
			break
		}
		total += f.Size
	}
	r, w := io.Pipe()
	mw := multipart.NewWriter(w)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(writeParts(mw, files, func(sent int64) {
			if report != nil {
				report(sent, total)
			}
		}))
	}()
	return &upload{r, done}, mw.FormDataContentType()
}

// upload is the reading end; Close waits for the writer, so that no file is
// open afterwards.
type upload struct {
	*io.PipeReader
	done chan struct{}
}

func (u *upload) Close() error {
	err := u.PipeReader.Close()
	<-u.done
	return err
}

func writeParts(mw *multipart.Writer, files []File, report func(int64)) error {
	sent := int64(0)
	for _, f := range files {
		if err := writePart(mw, f, &sent, report); err != nil {
			return err
		}
	}
	return mw.Close()
}

func writePart(mw *multipart.Writer, f File, sent *int64, report func(int64)) error {
	part, err := mw.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition("file", f.Name)},
		"Content-Type":        {f.ContentType},
	})
	if err != nil {
		return err
	}
	src, err := f.Open()
	if err != nil {
		return err
	}
	defer src.Close()
	_, err = io.CopyBuffer(part, &counting{src, sent, report}, make([]byte, 256<<10))
	return err
}

// counting reports what was read for sending.
type counting struct {
	src    io.Reader
	sent   *int64
	report func(int64)
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	*c.sent += int64(n)
	c.report(*c.sent)
	return n, err
}
