package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"tarn/internal/client"
	"tarn/internal/rows"
	"tarn/internal/sqlwrite"
)

type sqlCommand struct {
	Query string `arg:"" help:"The SQL, or - to read it from standard input."`

	Output  string        `short:"o" enum:",table,json,ndjson,csv,arrow" default:"" placeholder:"FORMAT" help:"table, json, ndjson, csv or arrow; by default a table on a terminal and csv elsewhere."`
	Param   []string      `sep:"none" placeholder:"VALUE" help:"Value of the next ? (or $$1, $$2, ...), or name=value for $$name; JSON where it parses, else text. May be repeated."`
	Timeout time.Duration `placeholder:"TIME" help:"Give up after this time; by default the lake's setting."`
	MaxRows int           `default:"1000" placeholder:"N" help:"Rows that a table shows; 0 shows all."`

	IfMatch        string `placeholder:"ETAG" help:"Of statements that change rows: change only if the dataset still has this ETag."`
	IdempotencyKey string `placeholder:"KEY" help:"Of statements that change rows: sent again with the same key, the change is made once."`

	clientFlags `embed:""`
}

func (*sqlCommand) Help() string {
	return `SELECT in DuckDB's SQL over all datasets of the lake; SHOW TABLES, DESCRIBE and EXPLAIN too. INSERT, UPDATE, DELETE and MERGE change rows, all or none; with RETURNING they give rows as a query does; EXPLAIN before them says how many rows they would change.

Examples:

  tarn sql "select city, count(*) from trips group by city"
  tarn sql 'select * from trips where trip_id = ?' --param 7
  tarn sql 'select * from trips where city = $city' --param city=Oslo -o ndjson
  tarn sql 'update trips set fare = fare * 1.1 where city = ?' --param Oslo
  tarn sql 'delete from trips where city is null returning trip_id, fare'`
}

var outputs = map[string]rows.OutFormat{
	"table": rows.OutJSON, "json": rows.OutJSON, "ndjson": rows.OutNDJSON, "csv": rows.OutCSV, "arrow": rows.OutArrow,
}

func (c *sqlCommand) Run(ctx context.Context, p *Program) error {
	terminal := isTerminal(p.Stdout)
	output := c.Output
	switch {
	case output == "" && terminal:
		output = "table"
	case output == "":
		output = "csv"
	case output == "arrow" && terminal:
		return usagef("-o arrow is not text; send it to a file or a program")
	}
	query := c.Query
	if query == "-" {
		text, err := io.ReadAll(p.Stdin)
		if err != nil {
			return fmt.Errorf("read the query from standard input: %w", err)
		}
		query = string(text)
	}
	params, err := parseParams(c.Param)
	if err != nil {
		return err
	}
	// A text that does not parse goes to the lake all the same: the error is its.
	if statement, err := sqlwrite.Parse(query); statement != nil || err != nil {
		if statement != nil && statement.Returning != nil && !statement.Explain {
			return c.rows(ctx, p, output, func(d lakeDoor) (*client.Answer, error) {
				return d.ExecuteReturning(ctx, c.query(query, params, output), c.options())
			})
		}
		return c.execute(ctx, p, query, params, statement)
	}
	if c.IfMatch != "" || c.IdempotencyKey != "" {
		return usagef("--if-match and --idempotency-key are for statements that change rows")
	}
	return c.rows(ctx, p, output, func(d lakeDoor) (*client.Answer, error) { return d.SQL(ctx, c.query(query, params, output)) })
}

func (c *sqlCommand) query(sql string, params any, output string) client.Query {
	return client.Query{SQL: sql, Params: params, Timeout: c.Timeout, Format: outputs[output]}
}

func (c *sqlCommand) options() client.ChangeOptions {
	return client.ChangeOptions{IfMatch: c.IfMatch, IdempotencyKey: c.IdempotencyKey}
}

// rows writes an answer.
func (c *sqlCommand) rows(ctx context.Context, p *Program, output string, ask func(lakeDoor) (*client.Answer, error)) error {
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) (err error) {
		a, err := ask(d)
		if err != nil {
			return err
		}
		// Closing an answer that was read to its end tells nothing new.
		defer a.Close()
		if output == "table" {
			return writeTable(p.Stdout, a, c.MaxRows, width(p.Stdout))
		}
		out := p.Stdout
		if output == "csv" {
			out = &csvLines{w: out}
		}
		if _, err := io.Copy(out, a); err != nil {
			return err
		}
		if output == "json" {
			_, err = io.WriteString(p.Stdout, "\n")
		}
		return err
	})
}

// execute runs a statement that changes rows, and says what it did.
func (c *sqlCommand) execute(ctx context.Context, p *Program, sql string, params any, statement *sqlwrite.Statement) error {
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		began := time.Now()
		r, err := d.Execute(ctx, c.query(sql, params, ""), c.options())
		if err != nil {
			return err
		}
		switch {
		case c.Output == "json" || c.Output == "ndjson" || statement == nil:
			return json.NewEncoder(p.Stdout).Encode(r)
		case r.Explain:
			_, err = fmt.Fprintf(p.Stdout, "%s: %s would be %s; nothing was changed\n", statement.Target, countOf(r.Rows, "row"), done[r.Statement])
		case r.Rows == 0:
			_, err = fmt.Fprintf(p.Stdout, "%s: no row %s in %s, sequence %d\n", statement.Target, done[r.Statement], elapsed(time.Since(began)), r.Sequence)
		default:
			_, err = fmt.Fprintf(p.Stdout, "%s: %s %s in %s, sequence %d\n", statement.Target, countOf(r.Rows, "row"), done[r.Statement], elapsed(time.Since(began)), r.Sequence)
		}
		return err
	})
}

// done is what a statement did to rows.
var done = map[string]string{"insert": "inserted", "update": "updated", "delete": "deleted", "merge": "merged"}

func countOf(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return count(n) + " " + what
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
