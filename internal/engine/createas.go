package engine

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"tarn/internal/dataset"
	"tarn/internal/format"
	"tarn/internal/imports"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/query"
	"tarn/internal/rows"
	"tarn/internal/sqlddl"
	"tarn/internal/worker"
	"tarn/internal/workshop"
)

// answerFile is how messages name the rows of a CREATE TABLE AS.
const answerFile = "the query's answer"

// storedDefinition is a DefinitionResult as a catalog version keeps it for the
// repetition of a request: with its ETag, which travels in a header.
type storedDefinition struct {
	DefinitionResult
	ETag string `json:"etag"`
}

// createAs makes a dataset of the rows of a query: they go through scratch to a job, as
// the files of an import do, and one commit makes the dataset with all of them. So the
// memory is bounded, whatever the query gives.
func (e *Engine) createAs(ctx context.Context, r DefinitionRequest) (DefinitionResult, error) {
	if err := e.mayWrite(); err != nil {
		return DefinitionResult{}, err
	}
	var before storedDefinition
	req, done, err := e.begin(ctx, r.Idempotency, "", &before)
	if err != nil || done {
		before.DefinitionResult.ETag = before.ETag
		return before.DefinitionResult, err
	}
	defer req.end()
	if _, err := e.member(r.Statement.Target); err == nil {
		if r.Statement.IfNotExists {
			return DefinitionResult{}, nil
		}
		return DefinitionResult{}, lake.Errorf(lake.CodeDatasetExists, "dataset %s exists already", r.Statement.Target).
			WithHint("drop it, choose another name, or INSERT INTO it")
	}
	turn, err := e.queries.Begin(ctx, r.ID, r.Owner, r.SQL, r.Timeout)
	if err != nil {
		return DefinitionResult{}, err
	}
	defer turn.End()
	turn.Turn()
	out, err := e.createFrom(r, req, turn)
	if r.Statement.IfNotExists && lake.CodeOf(err) == lake.CodeDatasetExists { // made meanwhile
		return DefinitionResult{}, nil
	}
	if err != nil {
		e.notice(err)
		return DefinitionResult{}, lake.Step("create "+r.Statement.Target.String(), turn.Explain(err))
	}
	return out, nil
}

func (e *Engine) createFrom(r DefinitionRequest, req replayed, turn *query.Statement) (out DefinitionResult, err error) {
	pad, err := e.shop.NewScratchpad("create")
	if err != nil {
		return out, err
	}
	defer pad.Remove()
	schema, file, err := e.answerOf(r, turn, pad)
	if err != nil {
		return out, err
	}
	files := []job.InputFile{{Path: file, Name: answerFile, Format: rows.ArrowStream}}
	if err := e.checkDisk(files); err != nil {
		return out, err
	}
	leave, err := e.shop.EnterBulk(turn.Context)
	if err != nil {
		return out, err
	}
	defer leave()
	result := func(at lake.ReadPoint, n int64) DefinitionResult {
		return DefinitionResult{
			Statement: string(r.Statement.Verb), Dataset: r.Statement.Target.String(), Changed: true, Rows: n, ReadPoint: &at,
		}
	}
	made, err := e.importer.Create(turn.Context, uuid.NewString(), imports.Request{
		Name: r.Statement.Target, OnDuplicate: job.OnDuplicateError, Files: files, Schema: &schema,
		Catalog: func(next *format.Version, at lake.ReadPoint, n int64) {
			e.remember(next, req, http.StatusOK, storedDefinition{result(at, n), dataset.ETag(at.TableUUID, 0, 0)})
		},
	})
	if err != nil {
		return out, err
	}
	s := e.register(made.State).ds.State()
	out = result(made.State.ReadPoint(), made.Rows)
	out.ETag = s.ETag()
	return out, nil
}

// answerOf writes the answer of the query into scratch, and says what dataset it makes.
func (e *Engine) answerOf(r DefinitionRequest, turn *query.Statement, pad *workshop.Scratchpad) (schema lake.Schema, file string, err error) {
	schema, err = onceMore(func() (lake.Schema, error) {
		file = filepath.Join(pad.Dir, uuid.NewString())
		return e.answerInto(r, turn, file)
	})
	return schema, file, err
}

func (e *Engine) answerInto(r DefinitionRequest, turn *query.Statement, file string) (lake.Schema, error) {
	left := time.Until(turn.Deadline)
	if left <= 0 {
		return lake.Schema{}, context.DeadlineExceeded
	}
	a, err := e.run(turn.Context, worker.QueryRequest{
		SQL: r.Statement.Query, Params: r.Params, Format: rows.OutArrow, Visible: r.Visible, Owner: r.Owner, Within: true,
	}, left)
	if err != nil {
		return lake.Schema{}, err
	}
	defer a.Body.Close()
	e.used(a.Head)
	schema, err := schemaOf(r.Statement, a.Columns)
	if err != nil {
		return schema, err
	}
	in := io.Reader(cutReader{a.Body})
	if r.Statement.Columns != nil {
		in = rows.Rename(turn.Context, in, namesOf(schema))
	}
	_, err = writeFile(file, in)
	return schema, err
}

func namesOf(s lake.Schema) []string {
	out := make([]string, len(s.Columns))
	for i, c := range s.Columns {
		out[i] = c.Name
	}
	return out
}

// schemaOf is the schema of the dataset that a query with these columns makes.
func schemaOf(s *sqlddl.Statement, columns []rows.Column) (lake.Schema, error) {
	if s.Columns != nil && len(s.Columns) != len(columns) {
		return lake.Schema{}, lake.Errorf(lake.CodeSQLInvalid, "the statement names %d columns and its query has %d", len(s.Columns), len(columns))
	}
	out := lake.Schema{Key: slices.Clone(s.Key)}
	for i, c := range columns {
		if s.Columns != nil {
			c.Name = s.Columns[i].Name
		}
		if c.Type == nullType {
			c.Type = "INTEGER" // as DuckDB has it
		}
		t, err := lake.ParseType(c.Type)
		if lake.CodeOf(err) == lake.CodeInvalidRequest && err != nil {
			err = lake.Errorf(lake.CodeUnsupported, "a dataset cannot hold the type %s", c.Type).WithHint("cast it, for example to VARCHAR")
		}
		if err != nil {
			return out, lake.Step("column "+c.Name, err)
		}
		out.Columns = append(out.Columns, lake.Column{Name: c.Name, Type: t, Nullable: true})
	}
	if err := out.Check(); err != nil {
		return out, lake.Errorf(lake.CodeSQLInvalid, "%w", err).WithHint("name the columns of the query by AS")
	}
	return out.WithFieldIDs(), nil
}

// nullType is how DuckDB calls the type of a bare NULL.
const nullType = `"NULL"`
