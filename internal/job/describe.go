package job

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

func (s *session) describeParquet(ctx context.Context, f InputFile) (*input, error) {
	link, err := s.link(f.Path, f.Name, ".parquet")
	if err != nil {
		return nil, err
	}
	from := fmt.Sprintf("read_parquet(%s, hive_partitioning = false)", lake.QuoteString(link))
	columns, err := s.describeQuery(ctx, f, from)
	if err != nil {
		return nil, err
	}
	return &input{file: f, columns: columns, from: func(map[int]lake.Type) string { return from }}, nil
}

func (s *session) describeJSON(ctx context.Context, f InputFile) (*input, error) {
	link, err := s.textLink(f, ".json")
	if err != nil {
		return nil, err
	}
	format := "auto" // an array of objects, or one object
	if f.Format == rows.NDJSON {
		format = "newline_delimited"
	}
	columns, err := s.describeQuery(ctx, f, fmt.Sprintf("read_json(%s, format = '%s', records = true, sample_size = -1, map_inference_threshold = -1)",
		lake.QuoteString(link), format))
	if err != nil {
		return nil, err
	}
	defs := make([]string, len(columns))
	for i, c := range columns {
		defs[i] = lake.QuoteString(c.name) + ": " + lake.QuoteString(c.found)
	}
	from := fmt.Sprintf("read_json(%s, format = '%s', records = true, columns = {%s})", lake.QuoteString(link), format, list(defs))
	return &input{file: f, columns: columns, from: func(map[int]lake.Type) string { return from }}, nil
}

// textLink links a text file under a name that tells DuckDB its compression.
func (s *session) textLink(f InputFile, ext string) (string, error) {
	c, err := compressionOf(f)
	if err != nil {
		return "", err
	}
	return s.link(f.Path, f.Name, ext+c)
}

func describeArrow(f InputFile) (*input, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, openError(f.Name, err)
	}
	defer file.Close()
	r, err := ipc.NewReader(file)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "%s: not an Arrow stream: %w", f.Name, err)
	}
	defer r.Release()
	in := &input{file: f}
	for _, field := range r.Schema().Fields() {
		t, err := arrowType(field.Type)
		if err != nil {
			return nil, lake.Step(fmt.Sprintf("%s: column %q", f.Name, field.Name), err)
		}
		in.columns = append(in.columns, inputColumn{name: field.Name, found: t.SQL(), typ: t, empty: field.Type.ID() == arrow.NULL})
	}
	return in, nil
}

// fault is where DuckDB names the file of a fault by its link.
var fault = regexp.MustCompile(`[^\s"'()]*\bin[0-9]+\.[a-z0-9.]+`)

// readFailure makes an error while inputs are read the fault of the input: its
// links are called by their names again. nil stays nil, and what is no fault of
// the data (memory, disk, a cancel) keeps its code.
func (s *session) readFailure(err error) error {
	if err == nil {
		return nil
	}
	var e *lake.Error
	if !errors.As(err, &e) {
		return err
	}
	ours := e.Code == lake.CodeSQLInvalid || e.Code == lake.CodeUnavailable && fault.MatchString(e.Error())
	if !ours {
		return err
	}
	text := fault.ReplaceAllStringFunc(e.Error(), func(link string) string {
		if name, ok := s.names[filepath.Base(link)]; ok {
			return name
		}
		return link
	})
	return lake.Errorf(lake.CodeInvalidRequest, "%s", brief(text))
}

// brief cuts DuckDB's advice about its options, which a user cannot set.
func brief(text string) string {
	for _, end := range []string{"\nPossible fixes:", "\nThe search space used", "\nPossible Solutions:", "\nPossible solutions:", "\n\nLINE ", "\nLINE 1:", ". Try ", "\n  file = "} {
		text, _, _ = strings.Cut(text, end)
	}
	return strings.TrimSpace(text)
}
