//go:build duckdb_arrow

package duck

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"tarn/internal/lake"
)

// Gate lets reads through and nothing else. It judges the tree that DuckDB's own
// parser makes of a text (json_serialize_sql), so that there is no second grammar
// to disagree with the first, and it fails closed: a node, a part of a node or a
// function that is not known is refused. In order: length, exactly one statement
// that is a SELECT, every relation a dataset or a CTE in scope, table functions
// and functions on allow-lists, nothing that would mean something else for an
// image than for base files (rowid, TABLESAMPLE).
//
// SHOW, DESCRIBE and SUMMARIZE come as such trees too. Only EXPLAIN does not: it
// is taken off the text and put back. EXPLAIN ANALYZE runs what follows, which is a
// SELECT that may run.
//
// It belongs to its Conn and is not for concurrent use; making one costs nothing.
// Check must not be called while a Stream of that Conn is read.
type Gate struct{ conn *Conn }

// NewGate makes a gate that parses on a connection.
func NewGate(c *Conn) *Gate { return &Gate{c} }

// GateEnv is what the gate must be told.
type GateEnv struct {
	// MaxSQLBytes is the longest text; 0 is DefaultMaxSQLBytes. It is the bound on
	// the time of parsing, which grows with the square of it and cannot be
	// interrupted.
	MaxSQLBytes int
	// Dataset finds a dataset, without regard to case, and gives its name as it
	// was created. namespace is "main" where the SQL says none.
	Dataset func(namespace, name string) (canonical lake.Name, ok bool)
	// Snapshot says of which datasets the caller makes a view (SnapshotView), which is
	// read in their place where the text names them as they are; nil: of none. With it
	// there is no AT.
	Snapshot func(lake.Name) bool
	// Placed is the dataset that the text may name by lake.PlacedVersion; the zero Name: none.
	Placed lake.Name
	// Names lists the datasets, for the hint of an error; nil gives none.
	Names func() []lake.Name
}

// DefaultMaxSQLBytes is the longest SQL text where GateEnv does not say.
const DefaultMaxSQLBytes = 128 << 10

// Kind is what a checked text asks for.
type Kind int

// The kinds.
const (
	Select     Kind = iota + 1 // run Checked.SQL
	Explain                    // run Checked.SQL, whose rows are the plan
	ShowTables                 // the caller lists the datasets
	Analyze                    // run Checked.SQL, whose one row is the plan with what was measured, as JSON
	Describe                   // of a dataset: the caller answers; of a query: run Checked.SQL
)

func (k Kind) String() string {
	return [...]string{"", "select", "explain", "show tables", "explain analyze", "describe"}[k]
}

// Checked is a text that may run.
type Checked struct {
	Kind     Kind
	SQL      string      // what to run; "" where the caller answers
	Datasets []lake.Name // those that the text names as they are, each once, in the order of the tree
	// Instants are datasets that the text names as they were (AT), each once. SQL names
	// InstantView of their place in this list.
	Instants []lake.Instant
	Describe *lake.Name // the dataset of DESCRIBE; nil for DESCRIBE of a query
	Volatile bool       // another run may answer differently at the same read points: random(), now(), …
	Grouped  *Grouped   // of a Select that groups in a way that can be told; else nil
	First    *FirstRows // of a Select of first rows by a column, that can be told; else nil
}

// Named are the datasets that the text names, as they are or as they were.
func (c Checked) Named() []lake.Name {
	if len(c.Instants) == 0 {
		return c.Datasets
	}
	out := slices.Clone(c.Datasets)
	for _, in := range c.Instants {
		out = append(out, in.Dataset)
	}
	return out
}

// Check says whether a text may run. Errors: CodeTooLarge, CodeSQLInvalid (it
// does not parse), CodeSQLRefused (it is no read, or reaches for what is not
// data), CodeDatasetNotFound.
func (g *Gate) Check(ctx context.Context, sql string, env GateEnv) (Checked, error) {
	limit := env.MaxSQLBytes
	if limit <= 0 {
		limit = DefaultMaxSQLBytes
	}
	if len(sql) > limit {
		return Checked{}, lake.Errorf(lake.CodeTooLarge, "the SQL has %d bytes and may have %d", len(sql), limit).
			WithHint("pass long lists of values as parameters")
	}
	if err := checkText(sql); err != nil {
		return Checked{}, err
	}
	text, err := readText(sql)
	if err != nil {
		return Checked{}, err
	}
	text.query = sequenceUnit(text.query)
	statement, err := g.parse(ctx, text)
	if err != nil {
		return Checked{}, err
	}
	w := &walker{grammar: newGrammar(), env: env, seen: map[string]bool{}}
	checked, err := w.statement(statement)
	var unknown *unknownDataset
	if errors.As(err, &unknown) {
		return Checked{}, g.notFound(ctx, unknown, env)
	}
	if err != nil {
		return Checked{}, err
	}
	if text.explain != "" {
		if checked.Kind != Select {
			return Checked{}, refused("EXPLAIN of what is no query")
		}
		checked.Kind = Explain
		if text.analyzes {
			checked.Kind = Analyze
		}
	}
	if checked.Kind != ShowTables && checked.Describe == nil {
		if text.query, err = g.withInstants(ctx, text, statement, w.places); err != nil {
			return Checked{}, err
		}
		checked.SQL = text.explain + text.query
	}
	if checked.Kind == Select && len(checked.Instants) == 0 {
		checked.Grouped = groupedOf(checked.SQL, statement, env.Dataset)
		if !checked.Volatile {
			checked.First = firstRowsOf(checked.SQL, statement, env.Dataset)
		}
	}
	return checked, nil
}

// parse gives the tree of the one statement in the text, which is a SELECT.
func (g *Gate) parse(ctx context.Context, text statementText) (object, error) {
	rows, err := g.conn.Rows(ctx, "SELECT json_serialize_sql(?::VARCHAR)", text.query)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error      bool     `json:"error"`
		Type       string   `json:"error_type"`
		Message    string   `json:"error_message"`
		Statements []object `json:"statements"`
	}
	if err := json.Unmarshal([]byte(rows[0][0].(string)), &answer); err != nil {
		return nil, refused("a statement that it cannot look through: nested too deep, or with a number beyond DOUBLE").WithHint("split it with WITH")
	}
	switch {
	case answer.Error && answer.Type == "not implemented":
		return nil, notARead(text)
	case answer.Error:
		return nil, g.conn.db.failure(ctx, "Parser Error: "+answer.Message)
	case len(answer.Statements) == 0:
		return nil, lake.Errorf(lake.CodeSQLInvalid, "the SQL holds no statement")
	case len(answer.Statements) > 1:
		return nil, refused("%d statements in one text", len(answer.Statements)).WithHint("send one statement at a time")
	}
	return answer.Statements[0], nil
}

// notARead is the error for what DuckDB parses and is no SELECT.
func notARead(text statementText) error {
	if text.pivots {
		return refused("a PIVOT without its values").
			WithHint("list the values: PIVOT … ON column IN ('a', 'b') USING …")
	}
	what := strings.ToUpper(text.firstWord)
	if reads[what] { // the first statement is one, and another is not
		what = "a statement behind " + what
	}
	hint := instead[what]
	if hint == "" {
		hint = "SQL reads (SELECT, SHOW TABLES, DESCRIBE, SUMMARIZE, EXPLAIN) and changes rows (INSERT, UPDATE, DELETE), a statement a text"
	}
	return refused("%s, which is no read", what).WithHint("%s", hint)
}

// instead says what to use for statements that are not served.
var instead = map[string]string{
	"MERGE":    "INSERT … ON CONFLICT DO UPDATE, UPDATE … FROM and DELETE … USING change rows by those of another query",
	"CREATE":   "CREATE TABLE, PUT /datasets/{name} or tarn create make a dataset; INSERT … SELECT fills it",
	"DROP":     "DROP TABLE, DELETE /datasets/{name} or tarn drop drop a dataset",
	"ALTER":    "a dataset is renamed by POST /datasets/{name}/rename or tarn rename; its columns stay as they are",
	"TRUNCATE": "DELETE FROM name deletes all rows of a dataset",
	"COPY":     "the server opens no files: COPY in tarn sql reads and writes those of its own machine; POST /datasets/{name}/import takes files, and a query's answer comes as CSV, NDJSON, Arrow or Parquet by its Accept",
	"BEGIN":    "a transaction is one text: BEGIN; statements that change rows; COMMIT",
	"START":    "a transaction is one text: BEGIN; statements that change rows; COMMIT",
	"COMMIT":   "a transaction is one text: BEGIN; statements that change rows; COMMIT",
	"ROLLBACK": "a transaction is one text: BEGIN; statements that change rows; COMMIT",
}

var reads = map[string]bool{"SELECT": true, "WITH": true, "FROM": true, "VALUES": true, "TABLE": true, "(": true}

// refused is an error of the gate: "the gate refuses …".
func refused(format string, args ...any) *lake.Error {
	return lake.Errorf(lake.CodeSQLRefused, "the SQL gate refuses "+format, args...)
}

// notFound names an unknown dataset and those whose names are near.
func (g *Gate) notFound(ctx context.Context, unknown *unknownDataset, env GateEnv) error {
	e := lake.Errorf(lake.CodeDatasetNotFound, "there is no dataset %q", unknown.name)
	if env.Names == nil {
		return e.WithHint("SHOW TABLES lists the datasets")
	}
	var names []any
	for _, n := range env.Names() {
		names = append(names, n.String())
	}
	rows, err := g.conn.Rows(ctx, `SELECT n FROM (SELECT unnest(?::VARCHAR[]) AS n)
		WHERE jaro_winkler_similarity(lower(n), lower(?)) > 0.75
		ORDER BY jaro_winkler_similarity(lower(n), lower(?)) DESC, n LIMIT 3`, names, unknown.name, unknown.name)
	if err != nil || len(rows) == 0 {
		return e.WithHint("SHOW TABLES lists the datasets")
	}
	near := make([]string, len(rows))
	for i, r := range rows {
		near[i] = r[0].(string)
	}
	return e.WithHint("did you mean %s?", strings.Join(near, ", "))
}
