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

// describeParquet finds the columns of a Parquet file by its schema.
func (s *session) describeParquet(ctx context.Context, f InputFile) (*input, error) {
	link, err := s.link(f.Path, f.Name, ".parquet")
	if err != nil {
		return nil, err
	}
	from := fmt.Sprintf("read_parquet(%s, hive_partitioning = false)", lake.QuoteString(link))
	found, err := s.texts(ctx, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM "+from+")")
	if err != nil {
		return nil, s.readFailure(err)
	}
	// Some of what DuckDB would change without a word its types do not show.
	if err := s.checkParquet(ctx, f); err != nil {
		return nil, err
	}
	in := &input{file: f, from: from, link: link}
	for _, row := range found {
		typ, err := typeOf(row[1])
		if err != nil {
			return nil, lake.Step(fmt.Sprintf("%s: column %q", f.Name, row[0]), err)
		}
		in.columns = append(in.columns, inputColumn{name: row[0], found: row[1], typ: typ})
	}
	return in, s.checkMapKeys(ctx, in)
}

// look finds the columns of a text file by its values.
func (s *session) look(ctx context.Context, f InputFile, im Import) (*input, error) {
	body, o, err := s.openInput(f, im, "look at ")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	found, err := rows.Look(ctx, f.Format, body.Reader, o)
	if err != nil {
		return nil, lake.Step(f.Name, err)
	}
	in := &input{file: f}
	for _, c := range found {
		typ := c.Form.Type()
		in.columns = append(in.columns, inputColumn{name: c.Name, found: typ.SQL(), typ: typ, form: c.Form, empty: c.Form.Empty()})
	}
	return in, nil
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
