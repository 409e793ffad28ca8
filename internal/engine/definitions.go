package engine

import (
	"context"
	"encoding/json"
	"time"

	"tarn/internal/lake"
	"tarn/internal/sqlddl"
)

// DefinitionRequest is one CREATE TABLE or DROP TABLE.
type DefinitionRequest struct {
	SQL         string            // as it came
	Statement   *sqlddl.Statement // what sqlddl.Parse made of it
	Params      json.RawMessage   // of the query of CREATE TABLE AS: an array, an object, or nil
	Timeout     time.Duration     // of that query and its rows, not of the commit; 0: the setting's
	ID          string            // of /queries/{id}, unique; "": one is made
	Owner       string            // "" where nobody is asked who he is
	Visible     *lake.NameSet     // the datasets that there are for the query; nil: all
	Idempotency Idempotency
}

// DefinitionResult is the answer to a statement that was done.
type DefinitionResult struct {
	Statement string          `json:"statement" enum:"create,drop"`
	Dataset   string          `json:"dataset"`
	Changed   bool            `json:"changed" doc:"false: IF EXISTS or IF NOT EXISTS left nothing to do"`
	Rows      int64           `json:"rows,omitempty" doc:"of CREATE TABLE AS: rows that the dataset has"`
	ReadPoint *lake.ReadPoint `json:"read_point,omitempty" doc:"of the dataset that was made"`
	ETag      string          `json:"-"`
}

// Define runs a statement that makes or drops a dataset, in one step or not at all.
func (e *Engine) Define(ctx context.Context, r DefinitionRequest) (DefinitionResult, error) {
	if err := e.queries.CheckSQL(len(r.SQL)); err != nil {
		return DefinitionResult{}, err
	}
	// The path of such a request names no dataset: its text is part of what is asked.
	r.Idempotency.Scope += "\x00" + sqlAsked(r.SQL, r.Params)
	var out DefinitionResult
	var err error
	switch s := r.Statement; {
	case s.Verb == sqlddl.Drop:
		out, err = e.dropBySQL(ctx, r)
	case s.Query != "":
		out, err = e.createAs(ctx, r)
	default:
		out, err = e.createBySQL(ctx, r)
	}
	out.Statement, out.Dataset = string(r.Statement.Verb), r.Statement.Target.String()
	return out, err
}

func (e *Engine) dropBySQL(ctx context.Context, r DefinitionRequest) (DefinitionResult, error) {
	err := e.Drop(context.WithoutCancel(ctx), r.Statement.Target, r.Idempotency)
	if r.Statement.IfExists && lake.CodeOf(err) == lake.CodeDatasetNotFound {
		return DefinitionResult{}, nil
	}
	return DefinitionResult{Changed: err == nil}, err
}

func (e *Engine) createBySQL(ctx context.Context, r DefinitionRequest) (DefinitionResult, error) {
	schema, err := r.Statement.Schema()
	if err != nil {
		return DefinitionResult{}, err
	}
	d, err := e.Create(context.WithoutCancel(ctx), CreateRequest{Dataset: r.Statement.Target, Schema: schema, Idempotency: r.Idempotency})
	if r.Statement.IfNotExists && lake.CodeOf(err) == lake.CodeDatasetExists {
		return DefinitionResult{}, nil
	}
	if err != nil {
		return DefinitionResult{}, err
	}
	return DefinitionResult{Changed: true, ReadPoint: &d.ReadPoint.ReadPoint, ETag: d.ETag}, nil
}
