package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/sqlddl"
	"tarn/internal/sqlwrite"
)

const (
	mediaText   = "text/plain"
	paramEngine = "engine"
)

// sqlBody is a query as JSON.
type sqlBody struct {
	SQL     string          `json:"sql" doc:"one SELECT, SHOW TABLES, DESCRIBE, EXPLAIN, INSERT, UPDATE, DELETE, MERGE, CREATE TABLE, DROP TABLE or ALTER TABLE, or BEGIN; statements that change rows; COMMIT, in DuckDB's SQL"`
	Params  json.RawMessage `json:"params,omitempty" doc:"an array for ? and $1, an object for $name"`
	Timeout string          `json:"timeout,omitempty" doc:"such as 5s; sending the answer included"`
	Engine  string          `json:"engine,omitempty" enum:"tarn,auto,spark,trino" doc:"of a SELECT: who answers it; as the parameter engine of the URL"`
}

// querySQL runs a query and streams its answer, or executes a statement that changes
// rows, or one that makes or drops a dataset.
func (a *api) querySQL(c *call) error {
	out, media, err := c.negotiate()
	if err != nil {
		return err
	}
	if err := c.canStream(); err != nil {
		return err
	}
	settings := c.door.Settings()
	body, err := a.readSQL(c, settings.MaxSQLBytes)
	if err != nil {
		return err
	}
	timeout, err := readTimeout(body.Timeout, settings)
	if err != nil {
		return err
	}
	if body.Engine, err = c.engine(body.Engine); err != nil {
		return err
	}
	change, err := a.changeOf(c, body, timeout, out, media)
	switch {
	case err != nil:
		return err
	case change != nil && body.Engine != "":
		return lake.Errorf(lake.CodeSQLRefused, "engine=%s is for a SELECT: what changes something is done here", body.Engine).WithHint("send it without engine; nothing was changed")
	case change != nil:
		return change()
	}
	if c.ifMatch() != "" {
		return lake.Errorf(lake.CodeInvalidRequest, "a query takes no If-Match").WithHint("statements that change rows do")
	}
	ans, err := c.door.Query(c.r.Context(), engine.QueryRequest{SQL: body.SQL, Params: body.Params, Timeout: timeout, Format: out, Fresh: c.wantsFresh(), Engine: body.Engine, ID: c.queryID})
	if err != nil {
		return err
	}
	return a.stream(c, ans, out, media)
}

// changeOf is what a text does that changes something, still to be done; nil: it is a query.
func (a *api) changeOf(c *call, body sqlBody, timeout time.Duration, out rows.OutFormat, media string) (do func() error, err error) {
	transaction, err := sqlwrite.ParseTransaction(body.SQL)
	if err != nil || transaction != nil {
		return func() error { return a.transact(c, body, transaction, timeout) }, err
	}
	alter, err := sqlddl.ParseAlter(body.SQL)
	if err != nil || alter != nil {
		return func() error { return a.alterBySQL(c, body, alter) }, err
	}
	statement, err := sqlwrite.Parse(body.SQL)
	if err != nil || statement != nil {
		return func() error { return a.execute(c, body, statement, timeout, out, media) }, err
	}
	definition, err := sqlddl.Parse(body.SQL)
	if err != nil || definition != nil {
		return func() error { return a.define(c, body, definition, timeout) }, err
	}
	return nil, nil
}

// execute runs a statement that changes rows. With RETURNING it answers as a query does,
// in the format given.
func (a *api) execute(c *call, body sqlBody, s *sqlwrite.Statement, timeout time.Duration, out rows.OutFormat, media string) error {
	returns := s.Returning != nil && !s.Explain
	c.dataset = s.Target.String()
	if !s.Explain {
		if err := a.raise(c, writes(ofSQL)); err != nil {
			return err
		}
	}
	switch {
	case !returns && !accepts(c.r.Header, rows.MediaJSON):
		return lake.Errorf(lake.CodeNotAcceptable, "a statement that changes rows, without RETURNING, answers application/json alone").
			WithHint("accept application/json; nothing was changed")
	case s.Explain && c.ifMatch() != "":
		return lake.Errorf(lake.CodeInvalidRequest, "EXPLAIN takes no If-Match").WithHint("it changes nothing")
	}
	idem, err := c.idempotency()
	if err != nil {
		return err
	}
	res, err := c.door.Execute(c.r.Context(), engine.StatementRequest{
		SQL: body.SQL, Statement: s, Params: body.Params, Timeout: timeout, ID: c.queryID, IfMatch: c.ifMatch(), Out: out, Idempotency: idem,
	})
	if err != nil {
		return err
	}
	if !s.Explain {
		c.rows = res.Rows
	}
	c.setETag(res.ETag)
	if !returns {
		return c.reply(http.StatusOK, res)
	}
	changed, err := json.Marshal(res)
	if err != nil {
		return err
	}
	c.w.Header().Set(headerChanged, string(changed)) // also of an error: it was done
	if res.Returned == nil {
		return lake.Errorf(lake.CodeRowsNotKept, "the statement was done before under this Idempotency-Key (%d rows, sequence %d); the rows that it returned are not kept", res.Rows, res.Sequence).
			WithHint("it is in: read the rows by SELECT")
	}
	return a.stream(c, res.Returned, out, media)
}

// transact runs a transaction.
func (a *api) transact(c *call, body sqlBody, t *sqlwrite.Transaction, timeout time.Duration) error {
	names := make([]lake.Name, len(t.Parts))
	for i, p := range t.Parts {
		names[i] = p.Statement.Target
	}
	c.about(names)
	if err := a.raise(c, writes(ofSQL)); err != nil {
		return err
	}
	switch {
	case !accepts(c.r.Header, rows.MediaJSON):
		return lake.Errorf(lake.CodeNotAcceptable, "a transaction answers application/json alone").WithHint("accept application/json; nothing was changed")
	case c.ifMatch() != "":
		return lake.Errorf(lake.CodeInvalidRequest, "a transaction takes no If-Match").WithHint("it reads and changes one state of its datasets, which nobody else changes meanwhile")
	}
	idem, err := c.idempotency()
	if err != nil {
		return err
	}
	res, err := c.door.ExecuteTransaction(c.r.Context(), engine.TransactionRequest{
		SQL: body.SQL, Transaction: t, Params: body.Params, Timeout: timeout, ID: c.queryID, Idempotency: idem,
	})
	if err != nil {
		return err
	}
	if !res.RolledBack {
		c.rows = res.Rows
	}
	return c.reply(http.StatusOK, res)
}

// engine is who is asked for to answer, in the body or in the URL; "" is nobody else.
func (c *call) engine(inBody string) (string, error) {
	inURL := c.params[paramEngine]
	switch {
	case inBody == "":
		inBody = inURL
	case inURL != "" && inURL != inBody:
		return "", lake.Errorf(lake.CodeInvalidRequest, "the body says engine %q, and the URL %q", clip(inBody), inURL)
	case !slices.Contains(engine.Engines(), inBody):
		return "", engine.NoEngine(clip(inBody))
	}
	if inBody == engine.EngineHere {
		return "", nil
	}
	return inBody, nil
}

// readSQL reads a query in either of its two forms.
func (a *api) readSQL(c *call, limit int64) (sqlBody, error) {
	media, err := mediaOf(c.r.Header.Get("Content-Type"), rows.MediaJSON, mediaText)
	if err != nil {
		return sqlBody{}, err
	}
	var body sqlBody
	if media == mediaText {
		text, err := a.readText(c, limit, "max_sql_bytes")
		if err != nil {
			return sqlBody{}, err
		}
		body.SQL = string(text)
	} else {
		if err := a.readJSON(c, &body); err != nil {
			return sqlBody{}, err
		}
		if limit > 0 && int64(len(body.SQL)) > limit {
			return sqlBody{}, lake.Errorf(lake.CodeTooLarge, "the SQL is over %d bytes", limit).WithHint("send less, or raise max_sql_bytes")
		}
		if body.Params, err = readParams(body.Params); err != nil {
			return sqlBody{}, err
		}
	}
	if strings.TrimSpace(body.SQL) == "" {
		return sqlBody{}, lake.Errorf(lake.CodeInvalidRequest, "the query is empty").
			WithHint(`send {"sql": "SELECT …"}, or the SQL itself as text/plain`)
	}
	return body, nil
}

// readParams lets an array or an object through; null is none.
func readParams(raw json.RawMessage) (json.RawMessage, error) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0 || bytes.Equal(raw, []byte("null")):
		return nil, nil
	case raw[0] == '[' || raw[0] == '{':
		return raw, nil
	}
	return nil, lake.Errorf(lake.CodeInvalidRequest, "params is neither an array nor an object").
		WithHint("an array for ? and $1, an object for $name")
}

// readTimeout reads a query's timeout; 0 is the setting's.
func readTimeout(s string, settings engine.Settings) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, lake.Errorf(lake.CodeInvalidRequest, "timeout %q is not a duration", clip(s)).WithHint("such as 500ms, 5s or 2m")
	}
	if most := settings.MaxQueryTimeout; most > 0 && d > most {
		return 0, lake.Errorf(lake.CodeInvalidRequest, "timeout %s is over the longest, %s", d, most).
			WithHint("ask for less, or raise max_query_timeout")
	}
	return d, nil
}
