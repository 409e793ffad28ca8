package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/rows"
	"tarn/internal/sqlcopy"
	"tarn/internal/sqlddl"
	"tarn/internal/sqlwrite"
)

// sqlSession is what the statements of one `tarn sql` share.
type sqlSession struct {
	d       lakeDoor
	p       *Program
	output  string // a key of outputs
	timeout time.Duration
	engine  string
	maxRows int
	timing  bool
	running statementInHand // at the prompt
}

// outputs are the formats that answers are shown in.
var outputs = map[string]rows.OutFormat{
	"table": rows.OutJSON, "json": rows.OutJSON, "ndjson": rows.OutNDJSON, "csv": rows.OutCSV, "arrow": rows.OutArrow, "parquet": rows.OutParquet,
}

// setOutput chooses a format; "" is a table on a terminal and csv elsewhere.
func (s *sqlSession) setOutput(output string) error {
	terminal := isTerminal(s.p.Stdout)
	switch {
	case output == "" && terminal:
		output = "table"
	case output == "":
		output = "csv"
	case (output == "arrow" || output == "parquet") && terminal:
		return usagef("%s is not text", output).withHint("send it to a file or a program: tarn sql … -o %s > FILE", output)
	}
	s.output = output
	return nil
}

// question is one statement with what belongs to it.
type question struct {
	sql     string
	params  any
	options client.ChangeOptions
}

// single says that something was given that is for one statement alone.
func (q question) single() bool {
	return q.params != nil || q.options.IfMatch != "" || q.options.IdempotencyKey != ""
}

// ask runs one statement and shows its answer.
func (s *sqlSession) ask(ctx context.Context, q question) error {
	// A text that does not parse goes to the lake all the same: the error is its.
	if t, err := sqlwrite.ParseTransaction(q.sql); t != nil || err != nil {
		return s.transact(ctx, q)
	}
	if statement, err := sqlwrite.Parse(q.sql); statement != nil || err != nil {
		if statement != nil && statement.Returning != nil && !statement.Explain {
			return s.rows(s.d.ExecuteReturning(ctx, s.query(q), q.options))
		}
		return s.execute(ctx, q, statement)
	}
	if c, err := sqlcopy.Parse(q.sql); err != nil {
		return err
	} else if c != nil {
		return s.copy(ctx, q, c)
	}
	if isAlter(q.sql) { // a text that does not parse goes to the lake, too
		return s.alter(ctx, q)
	}
	if definition, err := sqlddl.Parse(q.sql); definition != nil || err != nil {
		return s.define(ctx, q, definition)
	}
	if q.options.IfMatch != "" || q.options.IdempotencyKey != "" {
		return usagef("--if-match and --idempotency-key are for statements that change something")
	}
	return s.rows(s.d.SQL(ctx, s.query(q)))
}

func (s *sqlSession) query(q question) client.Query {
	return client.Query{SQL: q.sql, Params: q.params, Timeout: s.timeout, Engine: s.engine, Format: outputs[s.output]}
}

// here refuses what is no query where another engine is asked for.
func (s *sqlSession) here() error {
	if s.engine == "" || s.engine == engine.EngineHere {
		return nil
	}
	return usagef("--engine is for a SELECT: what changes something is done by the lake")
}

// rows shows an answer, unless there is an error instead.
func (s *sqlSession) rows(a *client.Answer, err error) error {
	if err != nil {
		return err
	}
	// Closing an answer that was read to its end tells nothing new.
	defer a.Close()
	return s.show(a)
}

// show writes an answer.
func (s *sqlSession) show(a io.Reader) error {
	out := s.p.Stdout
	switch s.output {
	case "table":
		return writeTable(out, a, s.maxRows, width(out))
	case "csv":
		out = &csvLines{w: out}
	}
	if _, err := io.Copy(out, a); err != nil {
		return err
	}
	if s.output == "json" {
		_, err := io.WriteString(s.p.Stdout, "\n")
		return err
	}
	return nil
}

// execute runs a statement that changes rows, and says what it did.
func (s *sqlSession) execute(ctx context.Context, q question, statement *sqlwrite.Statement) error {
	began := time.Now()
	r, err := s.d.Execute(ctx, client.Query{SQL: q.sql, Params: q.params, Timeout: s.timeout, Engine: s.engine}, q.options)
	if err != nil {
		return err
	}
	if s.output == "json" || s.output == "ndjson" || statement == nil {
		return json.NewEncoder(s.p.Stdout).Encode(r)
	}
	_, err = fmt.Fprintln(s.p.Stdout, whatWasDone(statement, r, time.Since(began)))
	return err
}

// transact runs a transaction, and says what each of its statements did.
func (s *sqlSession) transact(ctx context.Context, q question) error {
	began := time.Now()
	r, err := s.d.ExecuteTransaction(ctx, client.Query{SQL: q.sql, Params: q.params, Timeout: s.timeout, Engine: s.engine}, q.options)
	if err != nil {
		return err
	}
	if s.output == "json" || s.output == "ndjson" {
		return json.NewEncoder(s.p.Stdout).Encode(r)
	}
	for _, one := range r.Statements {
		what := countOf(one.Rows, "row") + " " + done[one.Statement]
		if r.RolledBack {
			what = countOf(one.Rows, "row") + " would be " + done[one.Statement]
		}
		if _, err := fmt.Fprintf(s.p.Stdout, "%s: %s\n", one.Dataset, what); err != nil {
			return err
		}
	}
	end := "committed in " + elapsed(time.Since(began))
	if r.RolledBack {
		end = "rolled back; nothing was changed"
	}
	_, err = fmt.Fprintln(s.p.Stdout, end)
	return err
}

// define runs a statement that makes or drops a dataset, and says what it did.
func (s *sqlSession) define(ctx context.Context, q question, statement *sqlddl.Statement) error {
	if q.options.IfMatch != "" {
		return usagef("--if-match is for statements that change rows")
	}
	began := time.Now()
	r, err := s.d.Define(ctx, client.Query{SQL: q.sql, Params: q.params, Timeout: s.timeout, Engine: s.engine}, q.options.IdempotencyKey)
	if err != nil {
		return err
	}
	if s.output == "json" || s.output == "ndjson" || statement == nil {
		return json.NewEncoder(s.p.Stdout).Encode(r)
	}
	said := r.Dataset + " is created"
	switch {
	case statement.Verb == sqlddl.Drop && r.Changed:
		said = r.Dataset + " is dropped"
	case statement.Verb == sqlddl.Drop:
		said = "there is no " + r.Dataset + "; nothing was dropped"
	case !r.Changed:
		said = r.Dataset + " is there already; nothing was created"
	case statement.Query != "":
		said += fmt.Sprintf(" with %s in %s", countOf(r.Rows, "row"), elapsed(time.Since(began)))
	}
	_, err = fmt.Fprintln(s.p.Stdout, said)
	return err
}

// done is what a statement did to rows.
var done = map[string]string{"insert": "inserted", "update": "updated", "delete": "deleted", "merge": "merged"}

func whatWasDone(statement *sqlwrite.Statement, r engine.StatementResult, took time.Duration) string {
	switch {
	case r.Explain:
		return fmt.Sprintf("%s: %s would be %s; nothing was changed", statement.Target, countOf(r.Rows, "row"), done[r.Statement])
	case r.Rows == 0:
		return fmt.Sprintf("%s: no row %s in %s, sequence %d", statement.Target, done[r.Statement], elapsed(took), r.Sequence)
	}
	return fmt.Sprintf("%s: %s %s in %s, sequence %d", statement.Target, countOf(r.Rows, "row"), done[r.Statement], elapsed(took), r.Sequence)
}

func countOf(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return count(n) + " " + what
}
