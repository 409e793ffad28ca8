package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/sqlddl"
)

type alterCommand struct {
	Name         datasetName `arg:"" help:"The dataset: [namespace.]name."`
	DropColumn   []string    `sep:"none" placeholder:"COLUMN" help:"Drop a column; may be repeated."`
	RenameColumn []string    `sep:"none" placeholder:"OLD=NEW" help:"Rename a column, which keeps its values; may be repeated."`
	SetType      []string    `sep:"none" placeholder:"'NAME TYPE'" help:"Widen a column's type: INTEGER to BIGINT, FLOAT to DOUBLE, DECIMAL to more digits; may be repeated."`
	AddColumn    []string    `sep:"none" placeholder:"'NAME TYPE'" help:"Add a column, null in the rows that are there; may be repeated."`
	DropNotNull  []string    `sep:"none" placeholder:"COLUMN" help:"Let a column be null; may be repeated."`
	SetNotNull   []string    `sep:"none" placeholder:"COLUMN" help:"Let a column be null no more, where it is in no row; may be repeated."`

	clientFlags `embed:""`
}

func (*alterCommand) Help() string {
	return `Changes a dataset's schema in one step, all or none: columns are dropped, renamed, widened and added in that order, whatever the order of the flags. No file is written anew. ALTER TABLE of tarn sql does the same in the order in which it is written.

Examples:

  tarn alter trips --add-column "tip DECIMAL(10,2)"
  tarn alter trips --rename-column fare=amount --drop-column note`
}

func (c *alterCommand) operations() ([]client.SchemaOperation, error) {
	var ops []client.SchemaOperation
	named := func(op string, names []string) {
		for _, n := range names {
			ops = append(ops, client.SchemaOperation{Op: op, Name: n})
		}
	}
	typed := func(op, flag string, texts []string) error {
		for _, text := range texts {
			col, err := parseColumn(flag, text)
			if err != nil {
				return err
			}
			ops = append(ops, client.SchemaOperation{Op: op, Name: col.Name, Type: col.Type})
			if col.Nullable != nil {
				ops = append(ops, client.SchemaOperation{Op: "set_not_null", Name: col.Name})
			}
		}
		return nil
	}
	named("drop_column", c.DropColumn)
	for _, text := range c.RenameColumn {
		from, to, ok := strings.Cut(text, "=")
		if !ok || from == "" || to == "" {
			return nil, usagef("--rename-column %q: the old and the new name are needed", text).withHint("such as --rename-column fare=amount; ALTER TABLE of tarn sql takes names with = in them")
		}
		ops = append(ops, client.SchemaOperation{Op: "rename_column", Name: from, To: to})
	}
	if err := typed("set_type", "--set-type", c.SetType); err != nil {
		return nil, err
	}
	if err := typed("add_column", "--add-column", c.AddColumn); err != nil {
		return nil, err
	}
	named("drop_not_null", c.DropNotNull)
	named("set_not_null", c.SetNotNull)
	if len(ops) == 0 {
		return nil, usagef("nothing to change is named").withHint("see tarn alter --help")
	}
	return ops, nil
}

func (c *alterCommand) Run(ctx context.Context, p *Program) error {
	ops, err := c.operations()
	if err != nil {
		return err
	}
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		r, err := d.Alter(ctx, c.Name.Name, ops, "")
		if err != nil {
			return err
		}
		return writeAltered(p, r)
	})
}

// writeAltered says what a dataset's columns are now.
func writeAltered(p *Program, r engine.AlterResult) error {
	columns := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		columns[i] = c.Name + " " + c.Type
		if !c.Nullable {
			columns[i] += " NOT NULL"
		}
	}
	if !r.Changed {
		_, err := fmt.Fprintf(p.Stdout, "%s: nothing was to change\n", r.Dataset)
		return err
	}
	_, err := fmt.Fprintf(p.Stdout, "%s (%s), sequence %d\n", r.Dataset, strings.Join(columns, ", "), r.Sequence)
	return err
}

// alter runs an ALTER TABLE, and says what came of it.
func (s *sqlSession) alter(ctx context.Context, q question) error {
	if q.options.IfMatch != "" || q.params != nil {
		return usagef("ALTER TABLE takes no --if-match and no --param")
	}
	if err := s.here(); err != nil {
		return err
	}
	r, err := s.d.AlterBySQL(ctx, q.sql, q.options.IdempotencyKey)
	if err != nil {
		return err
	}
	if s.output == "json" || s.output == "ndjson" {
		return json.NewEncoder(s.p.Stdout).Encode(r)
	}
	return writeAltered(s.p, r)
}

// isAlter says whether a text is an ALTER TABLE, or would be one.
func isAlter(sql string) bool {
	statement, err := sqlddl.ParseAlter(sql)
	return statement != nil || err != nil
}
