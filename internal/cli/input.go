package cli

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tarn/internal/client"
	"tarn/internal/rows"
)

// inputFormats are the words of --format and the extensions of files.
var inputFormats = []struct {
	word, contentType string
	extensions        []string
}{
	{"parquet", rows.MediaParquet, []string{".parquet", ".pq"}},
	{"csv", rows.MediaCSV, []string{".csv"}},
	{"json", rows.MediaJSON, []string{".json"}},
	{"ndjson", rows.MediaNDJSON, []string{".ndjson", ".jsonl"}},
	{"arrow", rows.MediaArrow, []string{".arrows", ".arrow"}},
}

// contentTypeOf gives the media type of a file: of --format where it was given,
// else by its extension. zipped says that it is gzip around that.
func contentTypeOf(path, format string) (contentType string, zipped bool, err error) {
	bare := strings.ToLower(path)
	if rest, ok := strings.CutSuffix(bare, ".gz"); ok {
		bare, zipped = rest, true
	}
	for _, f := range inputFormats {
		if format == f.word || format == "" && slices.Contains(f.extensions, filepath.Ext(bare)) {
			return f.contentType, zipped, nil
		}
	}
	return "", false, usagef("%s: its name does not say what format it is", path).
		withHint("name it .parquet, .csv, .json, .ndjson or .arrow, or say --format")
}

// expand turns patterns into the files they match, in order. A pattern that
// matches nothing is an error, as is a file that is not there.
func expand(patterns []string) ([]string, error) {
	var out []string
	for _, pattern := range patterns {
		if _, err := os.Stat(pattern); err == nil {
			out = append(out, pattern) // also a name that has a * in it
			continue
		}
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, usagef("%s: %w", pattern, err)
		}
		if len(found) == 0 {
			return nil, usagef("%s: there is no such file", pattern)
		}
		out = append(out, found...)
	}
	return out, nil
}

// importFile is a file on this machine as an upload.
func importFile(path, format string) (client.File, error) {
	contentType, zipped, err := contentTypeOf(path, format)
	if err != nil {
		return client.File{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return client.File{}, err
	}
	if info.IsDir() {
		return client.File{}, usagef("%s is a folder", path).withHint("name its files: %s", filepath.Join(path, "*"))
	}
	f := client.File{Name: path, ContentType: contentType, Size: info.Size(), Open: func() (io.ReadCloser, error) { return openFile(path, zipped) }}
	if zipped || !info.Mode().IsRegular() {
		f.Size = -1
	}
	return f, nil
}

func openFile(path string, zipped bool) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil || !zipped {
		return f, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &gunzip{Reader: z, file: f}, nil
}

// gunzip is a decompressed file; Close closes the file under it too.
type gunzip struct {
	*gzip.Reader
	file io.Closer
}

func (g *gunzip) Close() error { return errors.Join(g.Reader.Close(), g.file.Close()) }

// changeBody is a file, or standard input for "-", as the body of a change.
// The caller closes it.
func (p *Program) changeBody(path, format string) (client.Body, io.Closer, error) {
	if path == "-" {
		if format == "" {
			format = "ndjson"
		}
		contentType, _, err := contentTypeOf(path, format)
		return client.Body{ContentType: contentType, Reader: p.Stdin, Length: -1}, io.NopCloser(nil), err
	}
	f, err := importFile(path, format)
	if err != nil {
		return client.Body{}, nil, err
	}
	r, err := f.Open()
	return client.Body{ContentType: f.ContentType, Reader: r, Length: f.Size}, r, err
}
