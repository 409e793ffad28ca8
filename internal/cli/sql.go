package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"

	"tarn/internal/client"
	"tarn/internal/sqlddl"
)

type sqlCommand struct {
	Query *string `arg:"" optional:"" help:"The SQL. Without it, on a terminal a prompt, else statements from standard input, as with -."`

	Output  string        `short:"o" enum:",table,json,ndjson,csv,arrow,parquet" default:"" placeholder:"FORMAT" help:"table, json, ndjson, csv, arrow or parquet; by default a table on a terminal and csv elsewhere."`
	Param   []string      `sep:"none" placeholder:"VALUE" help:"Value of the next ? (or $$1, $$2, ...), or name=value for $$name; JSON where it parses, else text. May be repeated."`
	To      string        `placeholder:"FILE" help:"Write the answer into a file, which is there once it is whole; its format is that of its name, or of -o."`
	Timeout time.Duration `placeholder:"TIME" help:"Give up after this time; by default the lake's setting."`
	Engine  string        `enum:",tarn,auto,spark,trino" default:"" placeholder:"ENGINE" help:"Who answers a SELECT: tarn, a cluster that the server is configured with (spark, trino), or auto: the cluster if the datasets are large."`
	MaxRows int           `default:"1000" placeholder:"N" help:"Rows that a table shows; 0 shows all."`
	History string        `placeholder:"FILE" help:"Where the prompt keeps what was typed; by default ~/.local/state/tarn/sql_history, none keeps nothing."`

	IfMatch        string `placeholder:"ETAG" help:"Of statements that change rows: change only if the dataset still has this ETag."`
	IdempotencyKey string `placeholder:"KEY" help:"Of what changes something: sent again with the same key, it is done once."`

	clientFlags `embed:""`
}

func (*sqlCommand) Help() string {
	return `SELECT in DuckDB's SQL over all datasets of the lake; SHOW TABLES, DESCRIBE, SUMMARIZE and EXPLAIN too. INSERT, UPDATE, DELETE and MERGE change rows, all or none; with RETURNING they give rows as a query does; EXPLAIN before them says how many rows they would change. BEGIN; …; COMMIT around several of them is one statement: all or none. CREATE TABLE, also AS a query, and DROP TABLE make and drop datasets; ALTER TABLE changes columns. COPY reads and writes files of this machine.

At the prompt a statement ends with a semicolon; .help lists the commands, Tab completes, Ctrl-C ends a running statement, Ctrl-D the prompt. From standard input statements run one after the other, up to the first that fails.

Examples:

  tarn sql
  tarn sql "select city, count(*) from trips group by city"
  tarn sql 'select * from trips where trip_id = ?' --param 7
  tarn sql 'select * from trips where city = $city' --param city=Oslo -o ndjson
  tarn sql 'update trips set fare = fare * 1.1 where city = ?' --param Oslo
  tarn sql 'delete from trips where city is null returning trip_id, fare'
  tarn sql "copy (select * from trips where city = 'Oslo') to 'oslo.parquet'"
  tarn sql "select * from trips" --to trips.csv.gz
  tarn sql < statements.sql`
}

// several says that more than one statement may come.
func (c *sqlCommand) several() bool { return c.Query == nil || *c.Query == "-" }

// expects says whether there must be a lake: CREATE TABLE makes one, as tarn create does.
func (c *sqlCommand) expects() lakeMust {
	if c.Query != nil {
		if s, err := sqlddl.Parse(*c.Query); err == nil && s != nil && s.Verb == sqlddl.Create {
			return lakeMade
		}
	}
	return lakeExists
}

func (c *sqlCommand) Run(ctx context.Context, p *Program) error {
	params, err := parseParams(c.Param)
	if err != nil {
		return err
	}
	s := &sqlSession{p: p, timeout: c.Timeout, engine: c.Engine, maxRows: c.MaxRows}
	if c.To != "" {
		if c.several() || c.Output == "table" {
			return usagef("--to takes the answer of one query, in another format than table").withHint("COPY (SELECT …) TO 'FILE' does the same among other statements")
		}
		return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
			s.d = d
			return s.writeFile(ctx, client.Query{SQL: *c.Query, Params: params, Timeout: c.Timeout, Engine: c.Engine}, c.To, c.Output)
		})
	}
	if err := s.setOutput(c.Output); err != nil {
		return err
	}
	first := question{params: params, options: client.ChangeOptions{IfMatch: c.IfMatch, IdempotencyKey: c.IdempotencyKey}}
	interactive := c.Query == nil && isTerminal(p.Stdin) && isTerminal(p.Stdout)
	if interactive && first.single() {
		return usagef("--param, --if-match and --idempotency-key belong to one statement").withHint("give it too: tarn sql STATEMENT")
	}
	return c.withLake(ctx, p, c.expects(), func(d lakeDoor) error {
		switch s.d = d; {
		case interactive:
			return s.converse(ctx, c.History)
		case c.several():
			return s.script(ctx, p.Stdin, first)
		}
		first.sql = *c.Query
		return s.ask(ctx, first)
	})
}

var namedParam = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)

// parseParams makes a list of values, or a map where they have names. A value
// is JSON where it parses as such (7, true, null, "7", [1,2]), else text.
func parseParams(given []string) (any, error) {
	var list []any
	named := map[string]any{}
	for _, g := range given {
		if m := namedParam.FindStringSubmatch(g); m != nil {
			if _, double := named[m[1]]; double {
				return nil, usagef("--param %s is given twice", m[1])
			}
			named[m[1]] = paramValue(m[2])
			continue
		}
		list = append(list, paramValue(g))
	}
	switch {
	case len(given) == 0:
		return nil, nil
	case len(list) > 0 && len(named) > 0:
		return nil, usagef("--param: values with and without a name").withHint(`a text with = in it is written as JSON: --param '"a=b"'`)
	case len(named) > 0:
		return named, nil
	}
	return list, nil
}

func paramValue(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber() // all digits
	var v any
	if d.Decode(&v) == nil {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return v
		}
	}
	return text
}
